/* What a set becomes when it is to be another one: every state of a backend, and the ways that changes take. */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/err.h"
#include "store/fanout.h"
#include "store/placements.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    return (arena = arena_create(1 << 20)) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static const char MARKS[] = "\0+-!"; /* by role */

/* "a b+ c- d!": members, and those that join (+), leave (-) and are drained (!). */
static const char *text_of(const Arca__Placement *row)
{
    static char text[512];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < row->n_members; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s%.1s", i > 0 ? " " : "",
                                   row->members[i]->backend, &MARKS[row->members[i]->role]);
    return text;
}

static Arca__Placement *row_of(const char *text)
{
    Arca__Placement *row = arena_alloc(arena, sizeof(*row));
    char *copy = arena_strdup(arena, span_str(text)), *rest;
    arca__placement__init(row);
    row->name = "default";
    row->write_quorum = 1;
    row->members = arena_alloc(arena, PLACEMENT_MAX * sizeof(*row->members));
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        Arca__Member *member = arena_alloc(arena, sizeof(*member));
        size_t length = strcspn(word, MARKS + 1);
        arca__member__init(member);
        if (word[length] != '\0')
            member->role = (Arca__Member__Role)(strchr(MARKS + 1, word[length]) - MARKS);
        word[length] = '\0';
        member->backend = word;
        row->members[row->n_members++] = member;
    }
    return row;
}

static int aim(const Arca__Placement *old, const char *text, unsigned quorum, Arca__Placement **out, bool *moves)
{
    struct span backends[PLACEMENT_MAX + 2];
    size_t count = 0;
    char *copy = arena_strdup(arena, span_str(text)), *rest;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        backends[count++] = span_str(word);
    return placement_aim(old, "default", backends, count, quorum, arena, out, moves);
}

static void every_state_has_its_next(void **state)
{
    (void)state;
    static const struct {
        const char *old, *aim, *row;
        bool moves;
    } cases[] = {
        {"a b", "a b", "a b", false},
        {"a b", "b a", "b a", false}, /* another order */
        {"a b", "b c", "b c+ a-", true},
        {"a b", "c d", "c+ d+ a- b-", true},
        {"a b", "a", "a b-", true},
        {"a", "a b", "a b+", true},
        {"a", "b a", "b+ a", true}, /* the order of the aim, in which it will be read */
        /* one state after the other, kept and dropped */
        {"a", "a", "a", false},
        {"x a+", "x a", "x a+", false},
        {"x a-", "x a", "x a", true},
        {"x a!", "x a", "x a+", true},
        {"x a", "x", "x a-", true},
        {"x a+", "x", "x a!", true},
        {"x a-", "x", "x a-", false},
        {"x a!", "x", "x a!", false},
        /* back again half-way: before and after they were promoted */
        {"b c+ a-", "a b", "a b c!", true},
        {"b c a!", "a b", "a+ b c-", true},
        {"a+ b c-", "b c", "b c a!", true},
        /* another aim half-way */
        {"b c+ a-", "b d", "b d+ c! a-", true},
        {"b c+ a-", "c d", "c+ d+ b- a-", true},
        {"b c a!", "c d", "c d+ b- a!", true},
        {"c+ d+ a- b-", "a d", "a d+ c! b-", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Arca__Placement *row;
        bool moves;
        assert_int_equal(aim(row_of(cases[i].old), cases[i].aim, 1, &row, &moves), 0);
        assert_string_equal(text_of(row), cases[i].row);
        assert_int_equal(moves, cases[i].moves);
        assert_int_equal(placement_changing(row), strpbrk(cases[i].row, "+-!") != NULL);
        assert_string_equal(row->name, "default");
    }
}

static void new_ones_have_all_at_once(void **state)
{
    (void)state;
    Arca__Placement *row;
    bool moves;
    assert_int_equal(aim(NULL, "a b c", 2, &row, &moves), 0);
    assert_string_equal(text_of(row), "a b c");
    assert_int_equal(row->write_quorum, 2);
    assert_false(moves);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    Arca__Placement *row;
    bool moves;
    assert_int_equal(aim(row_of("a"), "", 1, &row, &moves), ERR_INVALID);
    assert_int_equal(aim(row_of("a"), "a b a", 1, &row, &moves), ERR_INVALID);
    assert_int_equal(aim(row_of("a"), "a b", 3, &row, &moves), ERR_INVALID);
    assert_int_equal(aim(row_of("a"), "a b", 0, &row, &moves), ERR_INVALID);
    const Arca__Placement *many = row_of("a b c d e f g h i");
    assert_int_equal(aim(many, "A B C D E F G", 1, &row, &moves), 0); /* nine that leave, seven that come */
    assert_int_equal(aim(many, "A B C D E F G H", 1, &row, &moves), ERR_TOO_LARGE);
}

static void the_rest_of_the_way(void **state)
{
    (void)state;
    Arca__Placement *row;
    Arca__Placement *old = row_of("c+ b a- d!");
    char *configured[] = {"b", "c"};
    old->configured = configured;
    old->n_configured = 2;
    old->write_quorum = 2;
    assert_int_equal(placement_promote(old, arena, &row), 0);
    assert_string_equal(text_of(row), "c b a! d!");
    assert_int_equal(row->write_quorum, 2);
    assert_int_equal(row->n_configured, 2);
    assert_string_equal(text_of(old), "c+ b a- d!"); /* is as it was */
    assert_int_equal(placement_settle(row, arena, &row), 0);
    assert_string_equal(text_of(row), "c b");
    assert_false(placement_changing(row));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_state_has_its_next, setup, teardown),
        cmocka_unit_test_setup_teardown(new_ones_have_all_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rest_of_the_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
