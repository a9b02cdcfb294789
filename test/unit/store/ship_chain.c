/* Which pieces make the newest index: gaps, snapshots, repeated stretches, histories that part. And ledgers, there and back. */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "store/ship/chain.h"
#include "unit.h"

static struct stored_list pieces;

static void add(const struct piece *piece)
{
    struct stored stored = {.piece = *piece};
    stored.name.bytes[19] = (uint8_t)pieces.count;
    assert_int_equal(stored_reserve(&pieces), 0);
    stored_insert(&pieces, pieces.count, &stored);
}

/* Mutations first..last of a history; each has 100 bytes, and segments begin at 1, 101, 201... The hash of a mutation is its
 * number and its history. */
static void journal(uint64_t first, uint64_t last, uint8_t history, uint8_t history_before, int64_t time_ms)
{
    uint64_t segment = (first - 1) / 100 * 100 + 1;
    struct piece piece = {.kind = PIECE_JOURNAL, .file = segment, .first = first, .last = last, .time_ms = time_ms};
    piece.offset = (first - segment) * 100;
    piece.length = (last - first + 1) * 100;
    piece.before[0] = (uint8_t)(first - 1);
    piece.before[1] = first > 1 ? history_before : 0;
    piece.after[0] = (uint8_t)last;
    piece.after[1] = history;
    add(&piece);
}

static void straight(uint64_t first, uint64_t last)
{
    journal(first, last, 1, 1, (int64_t)last);
}

static void part(uint64_t sequence, uint64_t offset, uint64_t length, uint64_t size)
{
    struct piece piece = {.kind = PIECE_SNAPSHOT, .file = sequence, .offset = offset, .length = length, .size = size,
                          .first = sequence, .last = sequence, .time_ms = (int64_t)sequence};
    piece.before[0] = piece.after[0] = (uint8_t)sequence;
    add(&piece);
}

static int reset(void **state)
{
    (void)state;
    free(pieces.all);
    pieces = (struct stored_list){0};
    return 0;
}

static void assert_chain(uint64_t snapshot, uint64_t last, size_t count, const size_t *numbers)
{
    struct chain chain;
    assert_int_equal(chain_choose(&pieces, UINT64_MAX, &chain), 0);
    assert_int_equal(chain.snapshot, snapshot);
    assert_int_equal(chain.last, last);
    assert_int_equal(chain.piece_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(chain.pieces[i], numbers[i]);
    chain_free(&chain);
}

static size_t gap(void)
{
    struct chain chain;
    assert_int_equal(chain_choose(&pieces, UINT64_MAX, &chain), 0);
    size_t found = chain_gap(&pieces, &chain);
    chain_free(&chain);
    return found;
}

static void nothing_makes_no_index(void **state)
{
    struct chain chain;
    (void)state;
    assert_int_equal(chain_choose(&pieces, UINT64_MAX, &chain), ERR_NOT_FOUND);
    straight(20, 30); /* whose beginning is not there */
    part(10, 0, 50, 100);
    assert_int_equal(chain_choose(&pieces, UINT64_MAX, &chain), ERR_NOT_FOUND);
}

static void pieces_follow_each_other(void **state)
{
    (void)state;
    straight(41, 100);
    straight(101, 130);
    straight(1, 40);
    assert_chain(0, 130, 3, (size_t[]){2, 0, 1});
    assert_int_equal(gap(), SIZE_MAX);
}

static void a_gathered_piece_stands_for_many(void **state)
{
    (void)state;
    straight(1, 10);
    straight(11, 20);
    straight(1, 20);
    straight(21, 30);
    assert_chain(0, 30, 2, (size_t[]){2, 3});
    assert_int_equal(gap(), SIZE_MAX);
}

/* A lane that was killed repeats what its ledger did not have, under other boundaries. */
static void a_stretch_that_was_repeated(void **state)
{
    (void)state;
    straight(1, 10);
    straight(11, 15);
    straight(16, 18);
    journal(11, 25, 1, 1, 30);
    journal(26, 28, 1, 1, 31);
    assert_chain(0, 28, 3, (size_t[]){0, 3, 4});
    assert_int_equal(gap(), SIZE_MAX);
}

static void a_gap_is_found(void **state)
{
    (void)state;
    straight(1, 10);
    straight(21, 30);
    straight(31, 40);
    assert_chain(0, 10, 1, (size_t[]){0});
    assert_int_equal(gap(), 1);
    part(25, 0, 100, 100); /* its segment is not there from its beginning on */
    assert_int_equal(gap(), 1);
}

static void the_newest_whole_snapshot_is_taken(void **state)
{
    (void)state;
    straight(101, 200);
    straight(201, 250);
    straight(1, 100);
    part(90, 0, 10, 10);
    part(150, 0, 60, 100);
    part(150, 60, 40, 100);
    part(150, 60, 40, 100);  /* twice */
    part(220, 0, 60, 100);   /* not whole */
    assert_chain(150, 250, 2, (size_t[]){0, 1});
    part(250, 0, 10, 10);
    assert_chain(250, 250, 1, (size_t[]){1});
    part(300, 0, 10, 10); /* newer than the journal, whose segments before it are gone */
    struct chain chain;
    assert_int_equal(chain_choose(&pieces, 300, &chain), 0);
    assert_int_equal(chain.snapshot, 250);
    chain_free(&chain);
}

static void a_snapshot_alone_is_an_index(void **state)
{
    (void)state;
    part(77, 10, 10, 20);
    part(77, 0, 10, 20);
    assert_chain(77, 77, 0, NULL);
}

/* A lane may be slower than the snapshot that it is shipped beside: what was put last is not all that there is. */
static void a_snapshot_that_is_ahead_of_its_journal(void **state)
{
    (void)state;
    straight(1, 50);
    part(77, 0, 10, 10);
    journal(51, 60, 1, 1, 100);
    assert_chain(77, 77, 0, NULL);
    pieces.all[2].name.bytes[0] = 1; /* of another process: the snapshot may be of a history that was given up */
    assert_chain(0, 60, 2, (size_t[]){0, 2});
}

/* An index that was rebuilt from an older state goes on from there; what it did not know is longer, and older. */
static void the_history_that_was_shipped_last_counts(void **state)
{
    (void)state;
    straight(1, 50);
    journal(51, 90, 1, 1, 90);
    journal(51, 60, 2, 1, 1000);
    assert_chain(0, 60, 2, (size_t[]){0, 2});
    assert_int_equal(gap(), SIZE_MAX);
    journal(91, 95, 1, 1, 2000); /* and one beside it is still being written */
    assert_chain(0, 95, 3, (size_t[]){0, 1, 3});
}

static void hashes_decide_what_follows(void **state)
{
    (void)state;
    straight(1, 50);
    journal(51, 60, 3, 3, 70);
    assert_chain(0, 50, 1, (size_t[]){0});
    assert_int_equal(gap(), 1);
}

/* --- ledgers --- */

static void fill(struct ledger *ledger, const char *backend)
{
    strcpy(ledger->backend, backend);
    straight(1, 40);
    straight(41, 60);
    part(40, 0, 60, 100);
    part(40, 60, 40, 100);
    part(50, 0, 60, 100);
    for (size_t i = 0; i < pieces.count; i++) {
        struct stored_list *list = i < 2 ? &ledger->journal : &ledger->snapshots;
        pieces.all[i].locator = (struct locator){3, {'a', 'b', (uint8_t)i}};
        assert_int_equal(stored_reserve(list), 0);
        stored_insert(list, list->count, &pieces.all[i]);
    }
}

static void assert_same_list(const struct stored_list *a, const struct stored_list *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_memory_equal(&a->all[i].name, &b->all[i].name, sizeof(a->all[i].name));
        assert_memory_equal(&a->all[i].piece, &b->all[i].piece, sizeof(a->all[i].piece));
        assert_true(stored_has(b, &a->all[i].name, &a->all[i].locator));
    }
}

static void ledgers_come_back(void **state)
{
    struct ledger ledger = {0}, *got;
    const struct ledger *all[] = {&ledger};
    struct buf bytes = {0};
    size_t count;
    bool clean;
    (void)state;
    fill(&ledger, "minio");
    assert_int_equal(ledger_snapshot(&ledger, UINT64_MAX), 40);
    assert_int_equal(ledger_snapshot(&ledger, 40), 0);
    assert_int_equal(stored_move(&ledger.snapshots, 2, 1, &ledger.stale), 0);
    assert_int_equal(ledgers_encode(all, 1, true, &bytes), 0);
    assert_int_equal(ledgers_decode(buf_span(&bytes), &got, &count, &clean), 0);
    assert_int_equal(count, 1);
    assert_true(clean);
    assert_string_equal(got[0].backend, "minio");
    assert_same_list(&got[0].journal, &ledger.journal);
    assert_same_list(&got[0].snapshots, &ledger.snapshots);
    assert_same_list(&got[0].stale, &ledger.stale);
    ledger_free(&got[0]);
    free(got);
    for (size_t i = 0; i < bytes.len; i++) { /* any change, and any cut */
        bytes.ptr[i] ^= 1;
        assert_int_not_equal(ledgers_decode(buf_span(&bytes), &got, &count, &clean), 0);
        bytes.ptr[i] ^= 1;
        assert_int_not_equal(ledgers_decode(span_of(bytes.ptr, i), &got, &count, &clean), 0);
    }
    buf_free(&bytes);
    ledger_free(&ledger);
}

/* Two copies of one mutation, of which the first was given up half-way. */
static void parts_of_another_copy_do_not_count(void **state)
{
    struct ledger ledger = {0};
    (void)state;
    part(40, 0, 60, 100);
    part(40, 0, 60, 110);
    pieces.all[1].piece.before[1] = pieces.all[1].piece.after[1] = 9;
    ledger.snapshots = pieces;
    assert_int_equal(ledger_snapshot(&ledger, UINT64_MAX), 0);
    part(40, 60, 50, 110);
    pieces.all[2].piece.before[1] = pieces.all[2].piece.after[1] = 9;
    ledger.snapshots = pieces;
    assert_int_equal(ledger_snapshot(&ledger, UINT64_MAX), 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_makes_no_index),
        TEST(pieces_follow_each_other),
        TEST(a_gathered_piece_stands_for_many),
        TEST(a_stretch_that_was_repeated),
        TEST(a_gap_is_found),
        TEST(the_newest_whole_snapshot_is_taken),
        TEST(a_snapshot_alone_is_an_index),
        TEST(a_snapshot_that_is_ahead_of_its_journal),
        TEST(the_history_that_was_shipped_last_counts),
        TEST(hashes_decide_what_follows),
        TEST(ledgers_come_back),
        TEST(parts_of_another_copy_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
