#include "topology.h"

#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "roster.h"

#define ARENA_LIMIT ((size_t)16 << 20)

/* --- a copy of the config's part --- */

static int copy_texts(struct arena *arena, char *const *from, size_t count, char ***out)
{
    *out = arena_alloc(arena, (count + 1) * sizeof(char *));
    if (*out == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        if (((*out)[i] = arena_strdup(arena, span_str(from[i]))) == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

static int copy_placement(struct arena *arena, const struct config_placement *from, struct config_placement *to)
{
    *to = *from;
    if ((to->name = arena_strdup(arena, span_str(from->name))) == NULL)
        return ERR_NOMEM;
    int rc = copy_texts(arena, from->backends, from->backend_count, &to->backends);
    if (rc == 0)
        rc = copy_texts(arena, from->jurisdictions, from->jurisdiction_count, &to->jurisdictions);
    return rc;
}

static int copy_config(struct topology *topology, const struct config *from)
{
    struct arena *arena = topology->arena;
    struct config *to = &topology->config;
    to->backends = arena_alloc(arena, (from->backend_count + 1) * sizeof(*to->backends));
    to->placements = arena_alloc(arena, (from->placement_count + 1) * sizeof(*to->placements));
    if (to->backends == NULL || to->placements == NULL)
        return ERR_NOMEM;
    for (; to->backend_count < from->backend_count; to->backend_count++) {
        if (settings_copy(arena, &from->backends[to->backend_count], &to->backends[to->backend_count]) != 0)
            return ERR_NOMEM;
    }
    for (; to->placement_count < from->placement_count; to->placement_count++) {
        int rc = copy_placement(arena, &from->placements[to->placement_count], &to->placements[to->placement_count]);
        if (rc != 0)
            return rc;
    }
    if (from->default_placement != NULL &&
        (to->default_placement = arena_strdup(arena, span_str(from->default_placement))) == NULL)
        return ERR_NOMEM;
    return 0;
}

/* --- members --- */

static struct member *find_member(const struct topology *topology, const char *backend)
{
    for (size_t i = 0; i < topology->member_count; i++) {
        if (strcmp(topology->members[i].backend->name, backend) == 0)
            return &topology->members[i];
    }
    return NULL;
}

static int find_members(struct topology *topology, const struct roster *roster)
{
    const struct config *config = &topology->config;
    size_t seats = atomic_load(&roster->count);
    topology->members = arena_alloc(topology->arena, (seats + 1) * sizeof(struct member));
    if (topology->members == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < config->backend_count; i++) {
        int number = roster_find(roster, config->backends[i].name);
        if (number < 0)
            return ERR_BUG;
        /* Behind the cost, and in front of the order of the replicas: the place in the placements, see prefer. */
        topology->members[topology->member_count++] = (struct member){
            .backend = atomic_load(&roster->seats[number].backend),
            .preference = config->backends[i].cost * PLACEMENT_MAX + PLACEMENT_MAX - 1,
        };
    }
    for (size_t i = 0; i < seats; i++) {
        struct backend *backend = atomic_load(&roster->seats[i].backend);
        if (find_member(topology, backend->name) == NULL)
            topology->members[topology->member_count + topology->gone_count++] =
                (struct member){.backend = backend, .gone = true};
    }
    return 0;
}

static void prefer(struct member *member, size_t place)
{
    unsigned cost = member->preference / PLACEMENT_MAX * PLACEMENT_MAX;
    if (member->preference - cost > place)
        member->preference = cost + (unsigned)place;
}

/* --- placements --- */

/* One backend of a placement, as a placement of its own would have it. */
static bool has_labels(const struct topology *topology, const struct config_placement *config, char *backend)
{
    struct config_placement one = *config;
    one.backends = &backend;
    one.backend_count = 1;
    return config_unmet(&topology->config, &one) == NULL;
}

static int add_member(const struct topology *topology, const struct config_placement *config, struct placement *place,
                      char *backend, Arca__Member__Role role)
{
    const struct member *member = find_member(topology, backend);
    bool wanted = role == ARCA__MEMBER__ROLE__MEMBER || role == ARCA__MEMBER__ROLE__JOINING;
    bool labelled = config == NULL || has_labels(topology, config, backend);
    if (wanted && member == NULL && place->configured) {
        log_error("store_placement", "placement %s: there is no backend %s", place->name, backend);
        return ERR_INVALID;
    }
    if (wanted && !labelled) {
        log_error("store_placement", "placement %s: backend %s lacks a label that is demanded", place->name, backend);
        return ERR_INVALID;
    }
    /* One that leaves may be gone, or may lack a label by now: it gets nothing more. */
    if (member == NULL)
        return 0;
    if (wanted)
        place->wanted[place->wanted_count++] = member->backend;
    if (labelled && role != ARCA__MEMBER__ROLE__DRAINING)
        place->written.backends[place->written.count++] = member->backend;
    return 0;
}

static int check_size(const char *name, size_t members, size_t quorum)
{
    if (members <= PLACEMENT_MAX && quorum > 0 && quorum <= members)
        return 0;
    log_error("store_placement", "placement %s: 1 to %d backends, and a write quorum of 1 to their number", name,
              PLACEMENT_MAX);
    return ERR_INVALID;
}

/* Those that have everything are read before those that are being filled. */
static void prefer_row(const struct topology *topology, const Arca__Placement *row)
{
    size_t place = 0;
    for (int joining = 0; joining < 2; joining++) {
        for (size_t i = 0; i < row->n_members; i++) {
            struct member *member = find_member(topology, row->members[i]->backend);
            Arca__Member__Role role = row->members[i]->role;
            if (role == ARCA__MEMBER__ROLE__DRAINING || (role == ARCA__MEMBER__ROLE__JOINING) != (joining != 0))
                continue;
            if (member != NULL)
                prefer(member, place);
            place++;
        }
    }
}

static int add_row(struct topology *topology, const struct config_placement *config, const Arca__Placement *row,
                   struct placement *place)
{
    int rc = check_size(row->name, row->n_members, row->write_quorum);
    place->written.quorum = row->write_quorum;
    for (size_t i = 0; rc == 0 && i < row->n_members; i++)
        rc = add_member(topology, config, place, row->members[i]->backend, row->members[i]->role);
    if (rc == 0 && place->configured)
        prefer_row(topology, row);
    return rc;
}

static int add_configured(struct topology *topology, const struct config_placement *config, struct placement *place)
{
    int rc = check_size(config->name, config->backend_count, config->write_quorum);
    place->written.quorum = config->write_quorum;
    for (size_t i = 0; rc == 0 && i < config->backend_count; i++) {
        rc = add_member(topology, config, place, config->backends[i], ARCA__MEMBER__ROLE__MEMBER);
        if (rc == 0)
            prefer(find_member(topology, config->backends[i]), i);
    }
    return rc;
}

static const Arca__Placement *find_row(Arca__Placement *const *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i]->name, name) == 0)
            return rows[i];
    }
    return NULL;
}

static int add_placements(struct topology *topology, Arca__Placement *const *rows, size_t count)
{
    const struct config *config = &topology->config;
    int rc = 0;
    topology->placements =
        arena_zalloc(topology->arena, (config->placement_count + count + 1) * sizeof(struct placement));
    if (topology->placements == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < config->placement_count; i++) {
        const struct config_placement *from = &config->placements[i];
        const Arca__Placement *row = find_row(rows, count, from->name);
        struct placement *place = &topology->placements[topology->placement_count++];
        *place = (struct placement){.name = from->name, .configured = true};
        rc = row != NULL ? add_row(topology, from, row, place) : add_configured(topology, from, place);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (topology_placement(topology, span_str(rows[i]->name)) != NULL)
            continue;
        struct placement *place = &topology->placements[topology->placement_count++];
        *place = (struct placement){.name = arena_strdup(topology->arena, span_str(rows[i]->name))};
        rc = place->name != NULL ? add_row(topology, NULL, rows[i], place) : ERR_NOMEM;
    }
    return rc;
}

/* --- the whole --- */

int topology_create(const struct config *config, const struct roster *roster, Arca__Placement *const *rows,
                    size_t count, struct topology **out)
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    struct topology *topology = arena != NULL ? arena_zalloc(arena, sizeof(*topology)) : NULL;
    int rc = topology != NULL ? 0 : ERR_NOMEM;
    if (rc == 0) {
        topology->arena = arena;
        rc = copy_config(topology, config);
    }
    if (rc == 0)
        rc = find_members(topology, roster);
    if (rc == 0)
        rc = add_placements(topology, rows, count);
    if (rc == 0)
        *out = topology;
    else if (arena != NULL)
        arena_free(arena);
    return rc;
}

void topology_free(struct topology *topology)
{
    if (topology != NULL)
        arena_free(topology->arena);
}

const struct member *topology_member(const struct topology *topology, const char *backend)
{
    return find_member(topology, backend);
}

const struct member *topology_holder(const struct topology *topology, const char *backend)
{
    const struct member *member = find_member(topology, backend);
    for (size_t i = 0; member == NULL && i < topology->gone_count; i++) {
        const struct member *gone = &topology->members[topology->member_count + i];
        member = strcmp(gone->backend->name, backend) == 0 ? gone : NULL;
    }
    return member;
}

const struct placement *topology_placement(const struct topology *topology, struct span name)
{
    for (size_t i = 0; i < topology->placement_count; i++) {
        if (span_eq_str(name, topology->placements[i].name))
            return &topology->placements[i];
    }
    return NULL;
}
