/* Placements and backends: how they are, and changes of the former. */
#include <stdio.h>
#include "admin/change.h"
#include "admin/private.h"
#include "base/err.h"
#include "base/log.h"
#include "store/placements.h"

/* All that is known of them at one moment, near enough. */
struct scene {
    Arca__Placement **placements;
    Arca__Holding **holdings;
    size_t placement_count, holding_count, backend_count;
    struct admin_backend backends[ADMIN_BACKENDS_MAX];
};

static int look(struct admin_request *r, struct scene **out)
{
    const struct admin *admin = r->admin;
    struct scene *scene = arena_zalloc(r->arena, sizeof(*scene));
    if (scene == NULL)
        return ERR_NOMEM;
    scene->backend_count = admin->ops->backends(admin->store, scene->backends, ADMIN_BACKENDS_MAX);
    int rc = admin->ops->placement_list(admin->index, r->arena, &scene->placements, &scene->placement_count);
    if (rc == 0)
        rc = admin->ops->holding_list(admin->index, r->arena, &scene->holdings, &scene->holding_count);
    *out = scene;
    return rc;
}

static bool append(json_t *array, json_t *item)
{
    return item != NULL && json_array_append_new(array, item) == 0;
}

/* What is the same wherever a backend is told of. */
static json_t *backend_json(const struct scene *scene, const char *name)
{
    for (size_t i = 0; i < scene->backend_count; i++) {
        const struct admin_backend *backend = &scene->backends[i];
        const struct backend_settings *settings = backend->settings;
        if (strcmp(settings->name, name) == 0)
            return json_pack("{s:s, s:s, s:s, s:s?, s:i}", "backend", name, "driver", settings->driver, "state",
                             health_state_name(backend->state), "jurisdiction", settings->jurisdiction, "cost",
                             (int)settings->cost);
    }
    return json_pack("{s:o, s:n, s:s, s:n, s:n}", "backend", json_text(name), "driver", "state", "absent",
                     "jurisdiction", "cost");
}

/* Adds what the backend holds: of the placement, or of all (NULL). Takes `json` over if it fails. */
static json_t *with_holding(json_t *json, const struct scene *scene, const char *placement, const char *backend)
{
    uint64_t replicas = 0, bytes = 0;
    for (size_t i = 0; i < scene->holding_count; i++) {
        const Arca__Holding *holding = scene->holdings[i];
        if (strcmp(holding->backend, backend) == 0 &&
            (placement == NULL || strcmp(holding->placement, placement) == 0)) {
            replicas += holding->replicas;
            bytes += holding->bytes;
        }
    }
    if (json != NULL && json_object_set_new(json, "replicas", json_integer((json_int_t)replicas)) == 0 &&
        json_object_set_new(json, "bytes", json_integer((json_int_t)bytes)) == 0)
        return json;
    json_decref(json);
    return NULL;
}

static const char *role_name(Arca__Member__Role role)
{
    static const char *const names[] = {"member", "joining", "leaving", "draining"};
    return (size_t)role < sizeof(names) / sizeof(names[0]) ? names[role] : "unknown";
}

static json_t *member_json(const struct scene *scene, const Arca__Placement *placement, const Arca__Member *member)
{
    json_t *json = with_holding(backend_json(scene, member->backend), scene, placement->name, member->backend);
    if (json != NULL && json_object_set_new(json, "role", json_string(role_name(member->role))) == 0)
        return json;
    json_decref(json);
    return NULL;
}

/* "elsewhere": backends that hold something of it and are no members. */
static json_t *placement_json(const struct scene *scene, const Arca__Placement *placement)
{
    json_t *members = json_array(), *elsewhere = json_array(), *configured = json_array();
    bool fine = members != NULL && elsewhere != NULL && configured != NULL;
    for (size_t i = 0; fine && i < placement->n_members; i++)
        fine = append(members, member_json(scene, placement, placement->members[i]));
    for (size_t i = 0; fine && i < placement->n_configured; i++)
        fine = append(configured, json_text(placement->configured[i]));
    for (size_t i = 0; fine && i < scene->holding_count; i++) {
        const Arca__Holding *holding = scene->holdings[i];
        if (strcmp(holding->placement, placement->name) == 0 &&
            placement_member(placement, span_str(holding->backend)) == NULL)
            fine = append(elsewhere, with_holding(backend_json(scene, holding->backend), scene, placement->name,
                                                  holding->backend));
    }
    if (fine)
        return json_pack("{s:o, s:i, s:o, s:o, s:o, s:i}", "name", json_text(placement->name), "write_quorum",
                         (int)placement->write_quorum, "members", members, "elsewhere", elsewhere, "configured",
                         configured, "configured_quorum", (int)placement->configured_quorum);
    json_decref(members);
    json_decref(elsewhere);
    json_decref(configured);
    return NULL;
}

static json_t *placements_json(const struct scene *scene)
{
    json_t *list = json_array();
    bool fine = list != NULL;
    for (size_t i = 0; fine && i < scene->placement_count; i++)
        fine = append(list, placement_json(scene, scene->placements[i]));
    if (fine)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *full_backend_json(const struct scene *scene, const struct admin_backend *backend)
{
    const char *writes = backend->writes != 0 ? err_name(backend->writes) : "ok";
    json_t *json = with_holding(backend_json(scene, backend->settings->name), scene, NULL, backend->settings->name);
    if (json != NULL && json_object_set_new(json, "writes", json_string(writes)) == 0 &&
        json_object_set_new(json, "put_p95_us", json_integer((json_int_t)(backend->put_p95_ns / 1000))) == 0 &&
        json_object_set_new(json, "get_p95_us", json_integer((json_int_t)(backend->get_p95_ns / 1000))) == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *backends_json(const struct scene *scene)
{
    json_t *list = json_array();
    bool fine = list != NULL;
    for (size_t i = 0; fine && i < scene->backend_count; i++)
        fine = append(list, full_backend_json(scene, &scene->backends[i]));
    if (fine)
        return list;
    json_decref(list);
    return NULL;
}

static void answer_scene(struct admin_request *r, const char *key, json_t *(*list)(const struct scene *scene)) SUSPENDS
{
    struct scene *scene;
    if (running_jobs(r) == NULL) /* which come after the placements have been made to follow the configuration */
        return;
    int rc = look(r, &scene);
    if (rc != 0)
        answer_error(r, rc, "%s", err_text(rc));
    else
        answer_json(r, 200, json_pack("{s:o}", key, list(scene)));
}

void get_placements(struct admin_request *r)
{
    answer_scene(r, "placements", placements_json);
}

void get_backends(struct admin_request *r)
{
    answer_scene(r, "backends", backends_json);
}

/* --- changes --- */

/* ERR_TOO_LARGE; errors of the body. */
static int read_body(struct admin_request *r, struct span *out)
{
    size_t got = 0;
    uint8_t *text = arena_alloc(r->arena, CHANGE_SIZE_MAX + 1);
    int rc = text != NULL ? source_read(http_body(r->exchange), text, CHANGE_SIZE_MAX + 1, &got) : ERR_NOMEM;
    *out = span_of(text, got);
    return rc == 0 && got > CHANGE_SIZE_MAX ? ERR_TOO_LARGE : rc;
}

static void log_change(struct admin_request *r, const struct change *change)
{
    char names[CHANGE_BACKENDS_MAX * 34] = "";
    size_t length = 0;
    for (size_t i = 0; i < change->count && length < sizeof(names); i++)
        length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%.*s", i > 0 ? ", " : "",
                                   SPAN_FMT(change->backends[i]));
    log_info("control", "placement %.*s is to consist of %s from now on, says %s", SPAN_FMT(r->name), names,
             http_peer(r->exchange));
}

static void answer_changed(struct admin_request *r)
{
    struct scene *scene;
    int rc = look(r, &scene);
    if (rc != 0) {
        answer_error(r, rc, "the change has begun, and cannot be shown: %s", err_text(rc));
        return;
    }
    for (size_t i = 0; i < scene->placement_count; i++) {
        if (span_eq_str(r->name, scene->placements[i]->name)) {
            answer_json(r, 200, placement_json(scene, scene->placements[i]));
            return;
        }
    }
    answer_error(r, ERR_NOT_FOUND, "the placement has gone meanwhile");
}

void post_placement(struct admin_request *r)
{
    struct jobs *jobs = running_jobs(r);
    struct change change;
    struct span body;
    char why[512] = "";
    if (jobs == NULL)
        return;
    int rc = read_body(r, &body);
    if (rc == 0)
        rc = change_parse(body, r->arena, &change, why, sizeof(why));
    if (rc == 0)
        rc = r->admin->ops->jobs_change(jobs, r->name, change.backends, change.count, change.write_quorum, why,
                                        sizeof(why));
    if (rc == ERR_NOT_FOUND && why[0] == '\0')
        snprintf(why, sizeof(why), "there is no placement '%.*s': `arcactl placement show` shows those that there are",
                 SPAN_FMT(span_take(r->name, 64)));
    if (rc != 0) {
        answer_error(r, rc, "%s", why[0] != '\0' ? why : err_text(rc));
        return;
    }
    log_change(r, &change);
    answer_changed(r);
}
