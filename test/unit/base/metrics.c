/* Metrics of backends, as Prometheus gets them. */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/metrics.h"

static char text[1 << 18];

static void render(void)
{
    struct buf out = {.cap = sizeof(text) - 1};
    metrics_render(&out);
    assert_int_equal(out.failed, 0);
    struct span all = buf_span(&out);
    memcpy(text, all.ptr, all.len);
    text[all.len] = '\0';
    buf_free(&out);
}

static void has(const char *line)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    if (strstr(text, whole) == NULL)
        fail_msg("there is no line %s in\n%s", line, text);
}

static void *count(void *arg)
{
    metrics_backend_done(*(unsigned *)arg, METRICS_PUT, 0, 300000);
    return NULL;
}

static void backends_are_told_apart(void **state)
{
    (void)state;
    render();
    assert_null(strstr(text, "arca_backend_state"));
    unsigned one = metrics_backend("one"), two = metrics_backend("two");
    assert_int_equal(metrics_backend("one"), one);
    assert_int_not_equal(one, two);
    pthread_t thread; /* its counts outlive it */
    assert_int_equal(pthread_create(&thread, NULL, count, &one), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    metrics_backend_done(one, METRICS_PUT, 0, 2000000000);
    metrics_backend_done(one, METRICS_GET, ERR_TIMEOUT, 1);
    metrics_backend_done(two, METRICS_GET, ERR_BUG, 1);
    metrics_backend_count(two, METRICS_HEDGES);
    metrics_backend_state(two, 2);
    render();
    has("arca_backend_state{backend=\"one\"} 0");
    has("arca_backend_state{backend=\"two\"} 2");
    has("arca_backend_operations_total{backend=\"one\",operation=\"put\",outcome=\"ok\"} 2");
    has("arca_backend_operations_total{backend=\"one\",operation=\"get\",outcome=\"timeout\"} 1");
    has("arca_backend_operations_total{backend=\"two\",operation=\"get\",outcome=\"other\"} 1");
    has("arca_backend_seconds_bucket{backend=\"one\",operation=\"put\",le=\"0.00025\"} 0");
    has("arca_backend_seconds_bucket{backend=\"one\",operation=\"put\",le=\"0.0005\"} 1");
    has("arca_backend_seconds_count{backend=\"one\",operation=\"put\"} 2");
    has("arca_backend_seconds_sum{backend=\"one\",operation=\"put\"} 2.000300000");
    has("arca_backend_hedges_total{backend=\"one\"} 0");
    has("arca_backend_hedges_total{backend=\"two\"} 1");
}

static void too_many_are_dropped(void **state)
{
    (void)state;
    char name[32];
    unsigned last = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "many-%d", i);
        last = metrics_backend(name);
    }
    metrics_backend_done(last, METRICS_PUT, 0, 1);
    metrics_backend_count(last, METRICS_REFUSED);
    metrics_backend_state(last, 1);
    render();
    has("arca_backend_state{backend=\"many-61\"} 0");
    assert_null(strstr(text, "many-62"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_are_told_apart),
        cmocka_unit_test(too_many_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
