/* The deadlines of a loop's waiting fibers: a binary heap, the earliest at index 0. */
#include "base/loop_private.h"

static void place(struct loop *loop, size_t index, struct fiber *fiber)
{
    loop->timers[index] = fiber;
    fiber->timer_index = index;
}

static void sift_up(struct loop *loop, size_t index, struct fiber *fiber)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (loop->timers[parent]->deadline_ms <= fiber->deadline_ms)
            break;
        place(loop, index, loop->timers[parent]);
        index = parent;
    }
    place(loop, index, fiber);
}

static void sift_down(struct loop *loop, size_t index, struct fiber *fiber)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= loop->timer_count)
            break;
        if (child + 1 < loop->timer_count && loop->timers[child + 1]->deadline_ms < loop->timers[child]->deadline_ms)
            child++;
        if (fiber->deadline_ms <= loop->timers[child]->deadline_ms)
            break;
        place(loop, index, loop->timers[child]);
        index = child;
    }
    place(loop, index, fiber);
}

void timers_add(struct loop *loop, struct fiber *fiber)
{
    sift_up(loop, loop->timer_count++, fiber);
}

void timers_remove(struct loop *loop, struct fiber *fiber)
{
    size_t index = fiber->timer_index;
    struct fiber *last = loop->timers[--loop->timer_count];
    fiber->timer_index = TIMER_NONE;
    if (last == fiber)
        return;
    if (index > 0 && loop->timers[(index - 1) / 2]->deadline_ms > last->deadline_ms)
        sift_up(loop, index, last);
    else
        sift_down(loop, index, last);
}
