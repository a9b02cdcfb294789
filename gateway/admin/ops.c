/* What the room asks of a daemon. */
#include "admin/admin.h"
#include "base/loop.h"
#include "store/topology.h"
#include "store/watched.h"

static size_t backends(struct store *store, struct admin_backend *out, size_t max)
{
    const struct topology *topology = store_topology(store);
    size_t count = topology->member_count < max ? topology->member_count : max;
    int64_t now_ms = loop_now_ms();
    for (size_t i = 0; i < count; i++) {
        struct health *health = watched_health(topology->members[i].backend);
        int writes = health_writable(health);
        out[i] = (struct admin_backend){
            .settings = &topology->config.backends[i],
            .state = health_state(health, now_ms),
            .writes = writes != 0 ? writes : health->writes,
            .put_p95_ns = health_p95_ns(health, HEALTH_PUT),
            .get_p95_ns = health_p95_ns(health, HEALTH_GET),
        };
    }
    return count;
}

const struct admin_ops admin_ops = {
    jobs_view, jobs_pause, jobs_change, index_placement_list, index_holding_list, backends,
};
