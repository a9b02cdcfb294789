/* Changes of placements. What a placement is to be is a register, as a key is, whose values are sets; so is what the
 * index has seen of its config, since a config that is not new to it changes nothing. */
#include "client.h"

#include <stdio.h>
#include <string.h>
#include "base/err.h"

#define DOWN_MS 9000 /* a backend that joins may be down for so long, which is several tries */
#define CONFIGS 6    /* of so many starts one has another config */

/* A set as a value: six bits a backend, so that none is ABSENT. */
static uint32_t value_of_set(const struct world_set *set)
{
    uint32_t value = set->quorum;
    for (unsigned i = 0; i < set->count; i++)
        value = value << 6 | (set->backends[i] + 1);
    return value;
}

static void set_text(const struct world_set *set, char *out, size_t size)
{
    out[0] = '\0';
    for (unsigned i = 0; i < set->count; i++) {
        size_t length = strlen(out);
        snprintf(out + length, size - length, "%s%s", i > 0 ? "," : "",
                 set->backends[i] < WORLD_BACKENDS ? world_backends[set->backends[i]] : "nobody");
    }
}

/* Two backends at least, and a quorum of two, of a placement whose backends may lie: see fault_backend.h. */
static void choose_set(struct client *client, unsigned placement, struct world_set *out)
{
    struct dice *dice = &client->dice;
    unsigned least = placement == 0 ? 2 : 1, first = world_pools[placement][0], end = world_pools[placement][1];
    unsigned most = end - first < WORLD_SET_MAX ? end - first : WORLD_SET_MAX, left = end - first;
    unsigned pool[WORLD_BACKENDS];
    for (unsigned i = 0; i < left; i++)
        pool[i] = first + i;
    out->count = least + (unsigned)dice_below(dice, most - least + 1);
    out->quorum = least + (unsigned)dice_below(dice, dice_below(dice, 3) == 0 ? out->count - least + 1 : 1);
    for (unsigned i = 0; i < out->count; i++) {
        unsigned chosen = (unsigned)dice_below(dice, left);
        out->backends[i] = pool[chosen];
        pool[chosen] = pool[--left];
    }
}

/* --- the config --- */

/* The index sees a config: what is new in it is the new aim, and else all stays. */
struct followed {
    struct access configured, set;
    bool same, differs; /* for sure */
};

static void follow_begins(struct client *client, unsigned p, uint32_t value, struct followed *out)
{
    struct placed *placed = &client->run->model.placements[p];
    reg_write(&placed->configured, &out->configured, value);
    reg_write(&placed->set, &out->set, value);
    bool could = values_have(&out->configured.seen, value);
    out->differs = !could;
    out->same = could && out->configured.seen.count == 1;
}

static void follow_ends(struct followed *followed, int rc)
{
    if (rc != 0)
        reg_unknown(&followed->configured);
    else
        reg_told(&followed->configured, followed->configured.value);
    if (followed->same)
        reg_refused(&followed->set);
    else if (followed->differs && rc == 0)
        reg_told(&followed->set, followed->set.value);
    else
        reg_unknown(&followed->set);
}

static void configure(struct client *client, unsigned p)
{
    struct world_set set;
    choose_set(client, p, &set);
    client->run->configured[p] = set;
    world_configure(client->run->world, p, &set);
}

void client_configure(struct client *client)
{
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        if (client->run->configured[p].count == 0 || dice_below(&client->dice, CONFIGS) == 0)
            configure(client, p);
    }
}

void client_followed(struct client *client)
{
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        struct followed followed;
        follow_begins(client, p, value_of_set(&client->run->configured[p]), &followed);
        follow_ends(&followed, 0);
    }
}

static void follow(struct client *client) SUSPENDS
{
    struct run *run = client->run;
    struct followed followed[WORLD_PLACEMENTS];
    char why[WORLD_WHY] = "";
    if (run->following)
        return;
    run->following = true;
    client_says(client, "another config");
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        if (dice_below(&client->dice, 2) == 0)
            configure(client, p);
    }
    if (dice_below(&client->dice, 2) == 0)
        world_touch(run->world, (unsigned)dice_below(&client->dice, WORLD_BACKENDS));
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++)
        follow_begins(client, p, value_of_set(&run->configured[p]), &followed[p]);
    int rc = world_follow(run->world, why);
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++)
        follow_ends(&followed[p], rc);
    run->following = false;
    if (rc == ERR_INVALID)
        client_fail(client, "%s", why);
    client_ended(client, DOING_INDEX, rc);
}

/* --- without the config --- */

static bool possible(const struct world_set *set)
{
    bool fine = set->quorum > 0 && set->quorum <= set->count;
    for (unsigned i = 0; i < set->count; i++) {
        fine = fine && set->backends[i] < WORLD_BACKENDS;
        for (unsigned j = 0; j < i; j++)
            fine = fine && set->backends[i] != set->backends[j];
    }
    return fine;
}

static void spoil(struct client *client, struct world_set *set)
{
    uint64_t how = dice_below(&client->dice, 3);
    if (how == 0)
        set->quorum = set->count + 1;
    else if (how == 1)
        set->backends[0] = WORLD_BACKENDS;
    else
        set->backends[set->count - 1] = set->count > 1 ? set->backends[0] : WORLD_BACKENDS;
}

static void see(struct run *run, unsigned p, bool settled)
{
    run->ended += settled && run->pending[p];
    run->pending[p] = run->pending[p] && !settled;
}

static void change(struct client *client) SUSPENDS
{
    struct run *run = client->run;
    struct access access;
    struct world_set set, before;
    char why[WORLD_WHY] = "", text[64];
    unsigned p = (unsigned)dice_below(&client->dice, WORLD_PLACEMENTS);
    bool settled = world_is(run->world, p, &before);
    see(run, p, settled);
    choose_set(client, p, &set);
    if (!settled && run->left[p].count > 0 && dice_below(&client->dice, 2) == 0)
        set = run->left[p];
    else if (dice_below(&client->dice, 10) == 0)
        spoil(client, &set);
    set_text(&set, text, sizeof(text));
    client_says(client, "placement %s is to be %s, quorum %u", world_placements[p], text, set.quorum);
    unsigned comes = set.backends[dice_below(&client->dice, set.count)];
    if (comes < WORLD_BACKENDS && dice_below(&client->dice, 3) == 0)
        world_outage(run->world, comes, 1 + (int64_t)dice_below(&client->dice, DOWN_MS));
    reg_write(&run->model.placements[p].set, &access, value_of_set(&set));
    int rc = world_change(run->world, p, &set, why);
    bool fine = possible(&set);
    if (rc == ERR_INVALID && !fine) {
        reg_refused(&access);
        return;
    }
    if (rc == ERR_INVALID || (rc == 0 && !fine))
        client_fail(client, "%s", rc == 0 ? "it was done" : why);
    if (rc == 0)
        reg_told(&access, access.value);
    else
        reg_unknown(&access);
    client_ended(client, DOING_INDEX, rc);
    run->changes += rc == 0;
    run->pending[p] = run->pending[p] || rc == 0;
    run->returns += rc == 0 && !settled;
    if (rc == 0)
        run->left[p] = before;
}

static void pause(struct client *client) SUSPENDS
{
    static const char *const jobs[] = {"scrub", "placement all", "placement lone"};
    const char *job = jobs[dice_below(&client->dice, sizeof(jobs) / sizeof(jobs[0]))];
    bool paused = dice_below(&client->dice, 3) == 0;
    client_says(client, "%s %s", paused ? "pause" : "resume", job);
    int rc = world_pause(client->run->world, job, paused);
    client_ended(client, DOING_INDEX, rc == ERR_NOT_FOUND ? 0 : rc);
}

void client_administer(struct client *client) SUSPENDS
{
    uint64_t kind = dice_below(&client->dice, 10);
    if (kind < 5)
        change(client);
    else if (kind < 7)
        follow(client);
    else
        pause(client);
}

/* --- what has come of it --- */

bool client_verify_sets(struct client *client) SUSPENDS
{
    struct run *run = client->run;
    bool all = true;
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        struct access access;
        struct world_set set;
        char text[64];
        reg_read(&run->model.placements[p].set, &access);
        bool settled = world_is(run->world, p, &set);
        set_text(&set, text, sizeof(text));
        client_says(client, "placement %s", world_placements[p]);
        if (!values_have(&access.seen, value_of_set(&set)))
            client_fail_values(client, &access, text);
        reg_told(&access, value_of_set(&set));
        see(run, p, settled);
        all = all && settled;
    }
    return all;
}
