#include "meter.h"

#include <string.h>

void meter_reset(struct meter *meter, int64_t now_ms)
{
    *meter = (struct meter){.began_ms = now_ms, .second = now_ms / 1000};
}

/* Empties the slots of the seconds that have begun since. */
static void slide(struct meter *meter, int64_t now_ms)
{
    int64_t second = now_ms / 1000;
    if (second - meter->second >= METER_SLOTS)
        memset(meter->slots, 0, sizeof(meter->slots));
    else
        for (int64_t s = meter->second + 1; s <= second; s++)
            meter->slots[s % METER_SLOTS] = (struct meter_slot){0};
    meter->second = second > meter->second ? second : meter->second;
}

void meter_add(struct meter *meter, int64_t now_ms, uint64_t bytes, uint64_t items)
{
    slide(meter, now_ms);
    meter->slots[meter->second % METER_SLOTS].bytes += bytes;
    meter->slots[meter->second % METER_SLOTS].items += items;
}

static struct meter_slot sum(struct meter *meter, int64_t now_ms, int64_t *window_ms)
{
    struct meter_slot all = {0};
    slide(meter, now_ms);
    for (int i = 0; i < METER_SLOTS; i++) {
        all.bytes += meter->slots[i].bytes;
        all.items += meter->slots[i].items;
    }
    int64_t whole_ms = (METER_SLOTS - 1) * 1000 + now_ms % 1000, since_ms = now_ms - meter->began_ms;
    *window_ms = since_ms < whole_ms ? since_ms : whole_ms;
    if (*window_ms < 1000)
        *window_ms = 1000;
    return all;
}

uint64_t meter_bytes(struct meter *meter, int64_t now_ms)
{
    int64_t window_ms;
    struct meter_slot all = sum(meter, now_ms, &window_ms);
    return (uint64_t)((double)all.bytes * 1000 / (double)window_ms);
}

int64_t meter_eta_ms(struct meter *meter, int64_t now_ms, uint64_t items)
{
    int64_t window_ms;
    struct meter_slot all = sum(meter, now_ms, &window_ms);
    if (items == 0)
        return 0;
    return all.items == 0 ? -1 : (int64_t)((double)items * (double)window_ms / (double)all.items);
}
