/* How fast something has been of late: a window that slides over the last half minute. */
#ifndef ARCA_STORE_JOBS_METER_H
#define ARCA_STORE_JOBS_METER_H

#include <stdint.h>

#define METER_SLOTS 32 /* of a second each; the present one is not whole */

struct meter {
    struct meter_slot {
        uint64_t bytes, items;
    } slots[METER_SLOTS]; /* by second modulo METER_SLOTS */
    int64_t began_ms, second; /* of the newest slot */
};

/* Times are monotonic milliseconds and do not go back. */
void meter_reset(struct meter *meter, int64_t now_ms);
void meter_add(struct meter *meter, int64_t now_ms, uint64_t bytes, uint64_t items);
uint64_t meter_bytes(struct meter *meter, int64_t now_ms); /* a second */
/* For how long that many items more will take. -1: not known */
int64_t meter_eta_ms(struct meter *meter, int64_t now_ms, uint64_t items);

#endif
