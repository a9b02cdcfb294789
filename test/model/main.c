/* The model checker: random operations of several clients over backends that fail, compared with a model; see
 * ../README.md. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "client.h"
#include "fault_backend.h"
#include "simulated.h"

#define CLIENTS  12
#define EPOCH    2500 /* operations between restarts, about */
#define GRACE_MS 3000
#define THINK_MS 200  /* between a client's operations, at most: time for what goes on in the background */
#define SLOW     10   /* and so many times that, in one epoch of three: changes of placements come to their end there */
#define ROUNDS   2    /* the second finds the orphans of the first's end */

struct checker {
    struct run run;
    struct client clients[CLIENTS + 1]; /* the last one verifies */
    uint64_t epoch_end, kill_at;        /* operations; 0: it ends in order */
    unsigned active, think_ms;
    struct completion all_done;
    uint64_t kills, stops;
    uint64_t closed; /* of the stops, those that left no lease open */
    bool converged;
};

struct worker {
    struct checker *checker;
    struct client *client;
};

static void work(void *arg) SUSPENDS
{
    struct worker *worker = arg;
    struct checker *checker = worker->checker;
    struct run *run = &checker->run;
    while (run->begun < checker->epoch_end && !world_killed(run->world)) {
        client_think(worker->client, checker->think_ms);
        client_step(worker->client);
        if (checker->kill_at != 0 && run->begun >= checker->kill_at && !world_killed(run->world))
            world_kill(run->world);
    }
    if (--checker->active == 0)
        completion_post(&checker->all_done, 0);
}

/* --- an epoch: from a start to a stop --- */

static void run_epoch(void *arg) SUSPENDS
{
    struct checker *checker = arg;
    struct run *run = &checker->run;
    struct worker workers[CLIENTS];
    world_calm(run->world, true);
    world_start(run->world);
    client_followed(&checker->clients[CLIENTS]);
    (void)client_verify_sets(&checker->clients[CLIENTS]);
    client_verify(&checker->clients[CLIENTS]);
    world_calm(run->world, false);
    world_work(run->world, GRACE_MS);
    run->faults = true;
    completion_init(&checker->all_done);
    checker->active = CLIENTS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        workers[i] = (struct worker){checker, &checker->clients[i]};
        if (fiber_spawn(world_loop(run->world), work, &workers[i], NULL) != 0)
            abort();
    }
    completion_wait(&checker->all_done);
    world_stop(run->world, true);
    (void)client_verify_sets(&checker->clients[CLIENTS]);
    run->faults = false;
}

/* What the index names is there, unless a backend lied; and what it does not name, the next start will look for. */
static void compare_stopped(struct checker *checker)
{
    struct world_difference difference;
    struct client *client = &checker->clients[CLIENTS];
    world_compare(checker->run.world, false, &difference);
    client_says(client, "stopped");
    client->operation = checker->run.begun;
    checker->closed += difference.open_leases == 0;
    if (difference.lost > 0)
        client_fail(client, "%llu replicas are not there", (unsigned long long)difference.lost);
    if (difference.outside > 0)
        client_fail(client, "%llu replicas are on backends that are not in the placement any more",
                    (unsigned long long)difference.outside);
    if (difference.strays > 0 && difference.open_leases == 0)
        client_fail(client, "%llu blobs are nobody's, and no lease is open", (unsigned long long)difference.strays);
}

static void epoch(struct checker *checker, struct dice *dice, uint64_t operations)
{
    struct run *run = &checker->run;
    uint64_t length = EPOCH / 2 + dice_below(dice, EPOCH);
    if (length > operations - run->begun)
        length = operations - run->begun;
    checker->epoch_end = run->begun + length;
    checker->think_ms = dice_below(dice, 3) == 0 ? SLOW * THINK_MS : THINK_MS;
    checker->kill_at = dice_below(dice, 2) == 0 ? run->begun + 1 + dice_below(dice, length) : 0;
    client_configure(&checker->clients[CLIENTS]);
    world_open(run->world, (enum weather)dice_below(dice, WEATHERS));
    world_run(run->world, run_epoch, checker);
    compare_stopped(checker);
    checker->kills += world_killed(run->world);
    checker->stops += !world_killed(run->world);
    world_close(run->world);
}

/* --- the end: nothing fails any more --- */

static void run_calm(void *arg) SUSPENDS
{
    struct checker *checker = arg;
    struct run *run = &checker->run;
    world_calm(run->world, true);
    world_start(run->world);
    client_followed(&checker->clients[CLIENTS]);
    world_work(run->world, 0);
    client_verify(&checker->clients[CLIENTS]);
    simulated_pass_ms(24 * 3600 * 1000); /* what waits for its time is due */
    checker->converged = world_converge(run->world);
    client_verify(&checker->clients[CLIENTS]);
    (void)client_verify_sets(&checker->clients[CLIENTS]);
    world_stop(run->world, false); /* as one that was killed: the next start looks for orphans */
}

static void converge(struct checker *checker)
{
    struct run *run = &checker->run;
    struct world_difference difference = {0};
    bool same = false;
    for (int round = 0; round < ROUNDS && !same; round++) {
        world_open(run->world, WEATHER_MILD);
        world_run(run->world, run_calm, checker);
        world_compare(run->world, true, &difference);
        world_close(run->world);
        same = checker->converged &&
               difference.missing + difference.damaged + difference.orphans + difference.elsewhere == 0;
    }
    struct client *client = &checker->clients[CLIENTS];
    client_says(client, "convergence after the faults");
    if (!checker->converged)
        client_fail(client, "scrub, repair, garbage collection, changes of placements or searches do not end");
    if (!same)
        client_fail(client, "of %llu extents, %llu replicas are missing and %llu damaged, and %llu are not where they "
                            "belong; %llu blobs are nobody's",
                    (unsigned long long)difference.extents, (unsigned long long)difference.missing,
                    (unsigned long long)difference.damaged, (unsigned long long)difference.elsewhere,
                    (unsigned long long)difference.orphans);
    uint64_t findings = world_check(run->world);
    if (findings > 0)
        client_fail(client, "%llu findings in the index", (unsigned long long)findings);
    printf("model: %llu extents are where the index says, and nothing else\n", (unsigned long long)difference.extents);
}

/* A run in which hardly anything works, or never anything fails, checks nothing. */
static void summarize(const struct checker *checker, bool lies)
{
    const struct run *run = &checker->run;
    printf("model: seed %llu: %llu operations, %llu succeeded, %llu failed, %llu objects verified; %llu kills, "
           "%llu stops, %llu without open leases; trace %016llx\n",
           (unsigned long long)run->seed, (unsigned long long)run->begun, (unsigned long long)run->succeeded,
           (unsigned long long)run->failed, (unsigned long long)run->verified, (unsigned long long)checker->kills,
           (unsigned long long)checker->stops, (unsigned long long)checker->closed, (unsigned long long)run->trace);
    printf("model: placements: %llu changes, %llu of them while another was under way; %llu were seen to be "
           "done\n",
           (unsigned long long)run->changes, (unsigned long long)run->returns, (unsigned long long)run->ended);
    printf("model: faults: refused mutations %llu", (unsigned long long)simulated_index_refusals());
    for (int i = 0; i < FAULT_COUNT; i++)
        printf(", %s %llu", fault_name(i), (unsigned long long)fault_count(i));
    printf("; simulated seconds: %lld\n", (long long)simulated_now_ms() / 1000);
    if (run->begun < 10000)
        return;
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (fault_count(i) == 0 && (lies || i < FAULT_LYING_PUT))
            client_fail(&checker->clients[CLIENTS], "the fault '%s' never came", fault_name(i));
    }
    if (run->begun >= 100000 && (run->changes == 0 || run->returns == 0 || run->ended == 0))
        client_fail(&checker->clients[CLIENTS], "no change of a placement was interrupted, or none came to its end");
    if (run->failed * 3 > run->succeeded)
        client_fail(&checker->clients[CLIENTS], "most operations fail");
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "model: '%s' is no number\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"operations", required_argument, NULL, 'n'},
                                            {"honest", no_argument, NULL, 'h'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    uint64_t seed = 1, operations = 100000;
    bool lies = true;
    int option;
    log_setup(LOG_ERROR + 1, LOG_TEXT);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            seed = number(optarg);
        else if (option == 'n')
            operations = number(optarg);
        else if (option == 'h')
            lies = false;
        else if (option == 'v')
            log_set_level(LOG_INFO);
        else
            return 2;
    }
    struct checker *checker = calloc(1, sizeof(*checker));
    struct dice dice = {dice_mix(seed)};
    if (checker == NULL)
        abort();
    checker->run.seed = seed;
    checker->run.operations = operations;
    simulated_begin(seed);
    model_init(&checker->run.model, seed);
    checker->run.world = world_create(seed, lies);
    for (unsigned i = 0; i <= CLIENTS; i++)
        client_init(&checker->clients[i], &checker->run, i);
    while (checker->run.begun < operations)
        epoch(checker, &dice, operations);
    converge(checker);
    summarize(checker, lies);
    for (unsigned i = 0; i <= CLIENTS; i++)
        client_free(&checker->clients[i]);
    world_destroy(checker->run.world);
    model_free(&checker->run.model);
    free(checker);
    return 0;
}
