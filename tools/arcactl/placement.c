/* arcactl placement: which backends make up a placement, and changing that while clients work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "arcactl.h"
#include "base/err.h"
#include "control.h"
#include "table.h"
#include "watch.h"

#define WHY_SIZE  1024
#define NAMES_MAX 1024

static unsigned quorum_of(const json_t *placement)
{
    return (unsigned)control_number(placement, "write_quorum");
}

static bool has_role(const json_t *member, const char *role)
{
    return strcmp(control_text(member, "role"), role) == 0;
}

/* The set that it is, or is becoming. */
static bool is_wanted(const json_t *member)
{
    return has_role(member, "member") || has_role(member, "joining");
}

static bool under_way(const json_t *placement)
{
    const json_t *member;
    size_t i;
    json_array_foreach(json_object_get(placement, "members"), i, member)
    {
        if (!has_role(member, "member"))
            return true;
    }
    return false;
}

/* "a, b": the members of a role; NULL: those that are wanted. */
static const char *names_of(const json_t *placement, const char *role, char out[NAMES_MAX])
{
    const json_t *member;
    size_t i, length = 0;
    out[0] = '\0';
    json_array_foreach(json_object_get(placement, "members"), i, member)
    {
        if ((role != NULL ? has_role(member, role) : is_wanted(member)) && length < NAMES_MAX)
            length += (size_t)snprintf(out + length, NAMES_MAX - length, "%s%s", length > 0 ? ", " : "",
                                       control_text(member, "backend"));
    }
    return out;
}

/* --- what the configuration says --- */

/* The same backends, in whatever order, and the same quorum. */
static bool agrees(const struct config *config, const json_t *placement)
{
    const struct config_placement *configured = config_find_placement(config, control_text(placement, "name"));
    const json_t *member;
    size_t i, wanted = 0, found = 0;
    if (configured == NULL || configured->write_quorum != quorum_of(placement))
        return false;
    json_array_foreach(json_object_get(placement, "members"), i, member)
    {
        wanted += is_wanted(member);
        for (size_t j = 0; is_wanted(member) && j < configured->backend_count; j++)
            found += strcmp(configured->backends[j], control_text(member, "backend")) == 0;
    }
    return found == wanted && found == configured->backend_count;
}

static void print_disagreement(const struct request *request, const struct config *config, const json_t *placement)
{
    char names[NAMES_MAX];
    if (!agrees(config, placement))
        printf("%s says something else of placement %s. Write there, so that the two agree:\n"
               "  - name: %s\n    backends: [%s]\n    write_quorum: %u\n",
               request->config, control_text(placement, "name"), control_text(placement, "name"),
               names_of(placement, NULL, names), quorum_of(placement));
}

/* --- show --- */

static const char *or_dash(const json_t *object, const char *key)
{
    const char *text = control_text(object, key);
    return text[0] != '\0' ? text : "-";
}

static bool add_backends(struct table *table, const json_t *backends)
{
    const json_t *backend;
    size_t i;
    json_array_foreach(backends, i, backend)
    {
        char replicas[32], bytes[HUMAN_SIZE], cost[32];
        snprintf(replicas, sizeof(replicas), "%llu", (unsigned long long)control_number(backend, "replicas"));
        snprintf(cost, sizeof(cost), "%llu", (unsigned long long)control_number(backend, "cost"));
        human_bytes(control_number(backend, "bytes"), bytes);
        if (table_add(table, control_text(backend, "backend"), or_dash(backend, "driver"), or_dash(backend, "role"),
                      control_text(backend, "state"), replicas, bytes, or_dash(backend, "jurisdiction"), cost) == NULL)
            return false;
    }
    return true;
}

static int print_placement(const json_t *placement)
{
    struct table table = {.columns = "llllrrlr"};
    struct buf text = {0};
    buf_printf(&text, "placement %s, write quorum %u%s\n", control_text(placement, "name"), quorum_of(placement),
               under_way(placement) ? ", a change is under way: arcactl jobs" : "");
    bool fine = table_add(&table, "BACKEND", "DRIVER", "ROLE", "STATE", "REPLICAS", "BYTES", "JURISDICTION", "COST") !=
                    NULL &&
                add_backends(&table, json_object_get(placement, "members")) &&
                add_backends(&table, json_object_get(placement, "elsewhere"));
    if (fine)
        table_print(&table, &text);
    fine = fine && text.failed == 0;
    if (fine)
        fwrite(text.ptr, 1, text.len, stdout);
    table_free(&table);
    buf_free(&text);
    return fine ? 0 : ERR_NOMEM;
}

static int print_all(const struct request *request, const struct config *config, const json_t *placements)
{
    const json_t *placement;
    size_t i;
    int rc = 0;
    json_array_foreach(placements, i, placement)
    {
        if (request->json) {
            json_dumpf(placement, stdout, JSON_COMPACT);
            putchar('\n');
            continue;
        }
        if (i > 0)
            putchar('\n');
        if (rc == 0)
            rc = print_placement(placement);
        print_disagreement(request, config, placement);
    }
    return rc;
}

int placement_show_command(const struct request *request)
{
    char why[WHY_SIZE] = "";
    json_t *answer = NULL;
    struct config *config = request_config(request);
    if (config == NULL)
        return EXIT_TROUBLE;
    int rc = control_get(config, "/-/placements", &answer, why, sizeof(why));
    if (rc == 0)
        rc = print_all(request, config, json_object_get(answer, "placements"));
    json_decref(answer);
    config_free(config);
    return rc != 0 ? trouble("%s", why[0] != '\0' ? why : err_text(rc)) : EXIT_FINE;
}

/* --- set --- */

/* {"backends": [...], "write_quorum": N} of the command line. */
static json_t *make_body(const struct request *request)
{
    json_t *backends = json_array();
    struct span rest = span_str(request->backends), name;
    bool fine = backends != NULL;
    while (fine && rest.ptr != NULL) {
        rest = span_split(rest, ',', &name);
        name = span_trim(name);
        fine = json_array_append_new(backends, json_stringn((const char *)name.ptr, name.len)) == 0;
    }
    if (!fine) {
        json_decref(backends);
        return NULL;
    }
    return request->write_quorum == 0
               ? json_pack("{s:o}", "backends", backends)
               : json_pack("{s:o, s:i}", "backends", backends, "write_quorum", (int)request->write_quorum);
}

static void print_change(const struct request *request, const struct config *config, const json_t *placement)
{
    static const struct {
        const char *role, *means;
    } roles[] = {
        {"joining", "gets what is written from now on, is filled with the rest and verified"},
        {"leaving", "stays in use until the others have everything, and is emptied then"},
        {"draining", "gets nothing more and is being emptied"},
    };
    char names[NAMES_MAX];
    printf("placement %s becomes [%s] with write quorum %u\n", request->name, names_of(placement, NULL, names),
           quorum_of(placement));
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (names_of(placement, roles[i].role, names)[0] != '\0')
            printf("  %s %s: %s\n", roles[i].role, names, roles[i].means);
    }
    if (!under_way(placement))
        printf("  nothing has to be copied or emptied\n");
    else if (!request->watch)
        printf("  arcactl jobs --watch --config %s shows how far it is\n", request->config);
    print_disagreement(request, config, placement);
    fflush(stdout);
}

/* Whether a change of the placement is under way still; the job alone does not tell right after arcad was restarted. */
static int is_changing(const struct config *config, const char *name, bool *out, char *why, size_t why_size)
{
    json_t *answer, *placement;
    size_t i;
    int rc = control_get(config, "/-/placements", &answer, why, why_size);
    if (rc == ERR_UNAVAILABLE) {
        *out = true;
        return 0;
    }
    if (rc != 0)
        return rc;
    *out = false;
    json_array_foreach(json_object_get(answer, "placements"), i, placement)
        *out = *out || (strcmp(control_text(placement, "name"), name) == 0 && under_way(placement));
    json_decref(answer);
    return 0;
}

static int watch_change(const struct request *request, const struct config *config)
{
    char job[sizeof(request->name) + 16], why[WHY_SIZE] = "";
    bool changing = true;
    int status = EXIT_FINE, rc = 0;
    snprintf(job, sizeof(job), "placement %s", request->name);
    while (status == EXIT_FINE && rc == 0 && changing) {
        status = watch_jobs(config, job, false);
        rc = is_changing(config, request->name, &changing, why, sizeof(why));
        if (rc == 0 && changing)
            nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
    if (rc != 0)
        return trouble("%s", why);
    if (status == EXIT_FINE)
        printf("placement %s is changed\n", request->name);
    return status;
}

int placement_set_command(const struct request *request)
{
    char why[WHY_SIZE] = "";
    json_t *placement = NULL;
    struct config *config = request_config(request);
    if (config == NULL)
        return EXIT_TROUBLE;
    char *path = control_path("/-/placements/", request->name, "");
    json_t *body = make_body(request);
    int status = EXIT_FINE;
    int rc = path != NULL && body != NULL ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = control_post(config, path, body, &placement, why, sizeof(why));
    else
        json_decref(body);
    if (rc == 0) {
        print_change(request, config, placement);
        if (request->watch && under_way(placement))
            status = watch_change(request, config);
    } else {
        status = trouble("%s", why[0] != '\0' ? why : err_text(rc));
    }
    free(path);
    json_decref(placement);
    config_free(config);
    return status;
}
