/* MD5 of many bodies on one loop: right whatever they are cut into and whoever gives up, and nobody stands in the way. */
#include "unit.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/loop.h"
#include "http/md5_queue.h"
#include "on_fiber.h"

#define JOBS   60
#define PIECES 12

static uint8_t bytes[1 << 20];

struct hasher {
    struct iovec pieces[PIECES];
    int count, repeats;
    struct fiber *fiber;
    uint8_t md5[16], expected[16];
    int rc;
    bool done;
    unsigned turns; /* of the loop until it was done */
};

static unsigned turns;
static bool watching;

static void count_turns(void *arg)
{
    (void)arg;
    for (turns = 0; watching; turns++)
        fiber_yield();
}

static void hash(void *arg)
{
    struct hasher *hasher = arg;
    struct md5_state state;
    md5_init(&state);
    for (int i = 0; i < hasher->repeats && hasher->rc == 0; i++) {
        struct iovec pieces[PIECES];
        memcpy(pieces, hasher->pieces, sizeof(pieces));
        hasher->rc = md5_queue_update(&state, pieces, hasher->count);
    }
    md5_final(&state, hasher->md5);
    hasher->turns = turns;
    hasher->done = true;
}

static struct hasher hasher_of(int count, size_t step, int repeats)
{
    struct hasher hasher = {.count = count, .repeats = repeats};
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(1, EVP_DigestInit_ex(context, EVP_md5(), NULL));
    for (int i = 0; i < count; i++) /* every third is empty */
        hasher.pieces[i] = (struct iovec){bytes + (size_t)i * 7919, i % 3 == 2 ? 0 : step + (size_t)i};
    for (int n = 0; n < repeats; n++)
        for (int i = 0; i < count; i++)
            EVP_DigestUpdate(context, hasher.pieces[i].iov_base, hasher.pieces[i].iov_len);
    EVP_DigestFinal_ex(context, hasher.expected, NULL);
    EVP_MD_CTX_free(context);
    return hasher;
}

static void spawn(struct hasher *hasher)
{
    assert_int_equal(0, fiber_spawn(loop_self(), hash, hasher, &hasher->fiber));
}

static void finish(struct hasher *hasher)
{
    while (!hasher->done)
        fiber_yield();
    if (hasher->rc == 0)
        assert_memory_equal(hasher->md5, hasher->expected, 16);
}

/* Cancelled while they lead, while they wait and while they are being hashed. */
static void all_kinds(void *arg)
{
    static struct hasher hashers[JOBS];
    (void)arg;
    for (size_t i = 0; i < JOBS; i++) {
        hashers[i] = hasher_of((int)(i % PIECES) + 1, i * i * 50 + i % 70, (int)(i % 3) + 1);
        spawn(&hashers[i]);
        if (i % 7 == 0)
            fiber_yield();
        if (i % 5 == 0 && !hashers[i].done)
            fiber_cancel(hashers[i].fiber);
    }
    for (size_t i = 0; i < JOBS; i++) {
        if (i % 11 == 3 && !hashers[i].done)
            fiber_cancel(hashers[i].fiber);
        finish(&hashers[i]);
        assert_true(hashers[i].rc == 0 || (hashers[i].rc == ERR_CANCELED && (i % 5 == 0 || i % 11 == 3)));
    }
}

static void watch(void)
{
    watching = true;
    turns = 0;
    assert_int_equal(0, fiber_spawn(loop_self(), count_turns, NULL, NULL));
}

/* 8 MiB take 11 ms: the loop turns meanwhile, and what is small does not wait for their end. */
static void small_ones_pass(void *arg)
{
    (void)arg;
    struct hasher large = hasher_of(PIECES, (size_t)1 << 19, 2), small = hasher_of(1, 4096, 1);
    watch();
    spawn(&large);
    for (int i = 0; i < 3; i++)
        fiber_yield();
    spawn(&small);
    finish(&small);
    assert_false(large.done);
    assert_true(small.turns < 8);
    finish(&large);
    assert_true(large.turns > 16);
    watching = false;
}

/* Four that come in `step` turns one after the other. Whether they were hashed together: done in the same turn. */
static bool share(int step)
{
    struct hasher hashers[4];
    unsigned last = 0;
    for (int i = 0; i < 4; i++) {
        hashers[i] = hasher_of(2, (size_t)1 << 18, 1);
        assert_true(md5_queue_enter(1 << 20));
    }
    for (int i = 0; i < 4; i++) {
        spawn(&hashers[i]);
        for (int n = 0; n < step; n++)
            fiber_yield();
    }
    for (int i = 0; i < 4; i++) {
        finish(&hashers[i]);
        md5_queue_leave();
        last = hashers[i].turns > last ? hashers[i].turns : last;
    }
    return last - hashers[0].turns <= 1;
}

/* Those that come in the same turn, always; for later ones it is waited now and then, and whenever it was of use. */
static void those_that_come_share(void *arg)
{
    int shared = 0;
    (void)arg;
    watch();
    assert_true(share(0));
    for (int i = 0; i < 40; i++)
        shared += share(2);
    assert_true(shared > 4);
    watching = false;
}

static void on_a_loop(void **state)
{
    (void)state;
    on_fiber(all_kinds, NULL);
    on_fiber(small_ones_pass, NULL);
    on_fiber(those_that_come_share, NULL);
}

static void without_a_fiber(void **state)
{
    (void)state;
    struct hasher hasher = hasher_of(PIECES, 40000, 1);
    assert_false(md5_queue_enter(1 << 20));
    hash(&hasher);
    assert_memory_equal(hasher.md5, hasher.expected, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_a_loop),
        cmocka_unit_test(without_a_fiber),
    };
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 11);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
