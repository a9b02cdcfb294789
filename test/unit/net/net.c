/* Connections over real loopback sockets. */
#include "line_server.h"
#include <sys/resource.h>
#include "base/log.h"

static void connections_are_kept_and_spread(void **state)
{
    (void)state;
    int fds[6];
    start(100, 60000, NULL);
    for (int i = 0; i < 6; i++)
        fds[i] = dial();
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 6; i++)
            put(fds[i], "echo hello\n");
        for (int i = 0; i < 6; i++)
            expect(fds[i], "echo hello\n");
    }
    assert_int_equal(loops_seen, (1 << LOOPS) - 1);
    assert_int_equal(fibers_started, 30);
    assert_int_equal(released, 0);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
    until(&released, 6);
    stop();
}

static void pipelined_bytes_are_served_in_order(void **state)
{
    (void)state;
    start(100, 60000, NULL);
    int fd = dial();
    put(fd, "echo one\necho two\necho three\necho fo");
    expect(fd, "echo one\necho two\necho three\n");
    put(fd, "ur\n");
    expect(fd, "echo four\n");
    put(fd, "bye\n");
    expect(fd, "bye\n");
    expect_end(fd);
    stop();
}

static void read_slowly(int fd, size_t total)
{
    static char chunk[1 << 20];
    for (size_t got = 0; got < total;) {
        ssize_t n = receive(fd, chunk, sizeof(chunk) < total - got ? sizeof(chunk) : total - got);
        assert_true(n > 0);
        assert_null(memchr(chunk, 'y', (size_t)n));
        got += (size_t)n;
        poll(NULL, 0, 2);
    }
}

static void a_slow_reader_gets_everything(void **state)
{
    (void)state;
    start(100, 60000, NULL);
    int fd = dial();
    put(fd, "big\necho after\n"); /* the second line waits in the socket meanwhile */
    read_slowly(fd, BIG);
    expect(fd, "echo after\n");
    close(fd);
    stop();
}

static void an_idle_connection_rests(void **state)
{
    (void)state;
    start(100, 60000, NULL);
    int fd = dial();
    put(fd, "big\n");
    read_slowly(fd, BIG);
    expect_rest(1);
    put(fd, "echo again\n");
    expect(fd, "echo again\n");
    expect_rest(2);
    listener_drain(listener);
    expect_end(fd);
    stop();
}

static void a_reader_that_stops_is_given_up(void **state)
{
    (void)state;
    patience_ms = SHORT_MS;
    start(100, 60000, NULL);
    int fd = dial();
    put(fd, "big\n");
    until(&released, 1); /* after patience_ms without progress */
    close(fd);
    stop();
    patience_ms = LONG_MS;
}

static void a_request_that_stops_is_given_up(void **state)
{
    (void)state;
    patience_ms = SHORT_MS;
    start(100, 60000, NULL);
    int fd = dial();
    put(fd, "echo half");
    expect_end(fd); /* after the service's own deadline */
    stop();
    patience_ms = LONG_MS;
}

static void the_end_of_the_peer_cancels_its_fiber(void **state)
{
    (void)state;
    start(100, 60000, NULL);
    int fd = dial();
    put(fd, "watch\n");
    expect(fd, "watching\n");
    put(fd, "pipelined\n"); /* does not cancel, and does not hide the end */
    poll(NULL, 0, 20);
    assert_int_equal(canceled, 0);
    close(fd);
    until(&canceled, 1);

    fd = dial();
    put(fd, "watch\n");
    expect(fd, "watching\n");
    const struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    until(&canceled, 2);
    stop();
}

static void idle_connections_time_out(void **state)
{
    (void)state;
    int64_t begin = clock_monotonic_ms(); /* the loops' clocks go from here on */
    start(100, 1500, NULL);
    int silent = dial(), used = dial();
    put(used, "echo x\n");
    expect(used, "echo x\n");
    expect_end(silent);
    expect_end(used);
    assert_in_range(clock_monotonic_ms() - begin, 1400, 30000);
    stop();
}

static void beyond_the_cap_is_refused(void **state)
{
    (void)state;
    start(2, 60000, NULL);
    int first = dial(), second = dial();
    put(first, "echo a\n");
    put(second, "echo b\n");
    expect(first, "echo a\n");
    expect(second, "echo b\n");
    int third = dial();
    put(third, "echo c\n"); /* unread, and yet the answer arrives */
    expect(third, "full\n");
    expect_end(third);
    close(first);
    until(&released, 1);
    for (;;) { /* the place is free when the socket is closed, a moment later */
        int fourth = dial();
        char got[8] = {0};
        put(fourth, "echo d\n");
        assert_true(receive(fourth, got, 7) > 0);
        close(fourth);
        if (strcmp(got, "echo d\n") == 0)
            break;
    }
    close(second);
    stop();
}

static void unread_bytes_do_not_destroy_the_answer(void **state)
{
    (void)state;
    static char flood[3 << 20];
    start(100, 60000, NULL);
    memset(flood, 'z', sizeof(flood));
    memcpy(flood, "bye\n", 4);
    int fd = dial();
    for (size_t sent = 0; sent < sizeof(flood);) {
        ssize_t n = send(fd, flood + sent, sizeof(flood) - sent, MSG_NOSIGNAL);
        assert_true(n > 0);
        sent += (size_t)n;
    }
    expect(fd, "bye\n");
    expect_end(fd);
    stop();
}

static void a_drain_lets_requests_end(void **state)
{
    (void)state;
    start(100, 60000, NULL);
    int idle = dial(), busy = dial();
    put(idle, "echo x\n");
    expect(idle, "echo x\n");
    put(busy, "draining\n");
    expect(busy, "waiting\n");
    uint16_t port = listener_port(listener);
    listener_drain(listener);
    expect_end(idle);
    expect(busy, "drained\n");
    expect_end(busy);
    stop();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
    close(fd);
}

/* While there are no descriptors left, accepting pauses; then it goes on. */
static void running_out_of_descriptors_passes(void **state)
{
    (void)state;
    struct rlimit limit, tight;
    int spare[64], count = 0;
    start(100, 60000, NULL);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    tight = limit;
    tight.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    while (count < 64 && (spare[count] = dup(0)) >= 0)
        count++;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(listener_port(listener))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    put(fd, "echo later\n");
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 150), 0);
    while (count > 0)
        close(spare[--count]);
    expect(fd, "echo later\n");
    setrlimit(RLIMIT_NOFILE, &limit);
    close(fd);
    stop();
}

static void a_bad_address_is_reported(void **state)
{
    (void)state;
    start(100, 60000, NULL);
    struct listener *other;
    const struct listener_options taken = {
        .address = "127.0.0.1", .port = listener_port(listener), .service = &service, .loops = loops, .loop_count = 1};
    struct listener_options bad = taken;
    bad.address = "192.0.2.1"; /* not of this machine: RFC 5737 */
    assert_int_equal(listener_open(&taken, &other), ERR_IO);
    assert_int_equal(listener_open(&bad, &other), ERR_IO);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_kept_and_spread),
        cmocka_unit_test(pipelined_bytes_are_served_in_order),
        cmocka_unit_test(a_slow_reader_gets_everything),
        cmocka_unit_test(an_idle_connection_rests),
        cmocka_unit_test(a_reader_that_stops_is_given_up),
        cmocka_unit_test(a_request_that_stops_is_given_up),
        cmocka_unit_test(the_end_of_the_peer_cancels_its_fiber),
        cmocka_unit_test(idle_connections_time_out),
        cmocka_unit_test(beyond_the_cap_is_refused),
        cmocka_unit_test(unread_bytes_do_not_destroy_the_answer),
        cmocka_unit_test(a_drain_lets_requests_end),
        cmocka_unit_test(running_out_of_descriptors_passes),
        cmocka_unit_test(a_bad_address_is_reported),
    };
    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
