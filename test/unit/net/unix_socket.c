/* Sockets by path: whose they are, and what becomes of those that a killed process left. */
#include "unit.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "net/unix_socket.h"

#define DEEP "a-folder-with-a-name-of-sixty-four-bytes-so-that-two-are-too-long"

static char folder[64], path[200], deep[400];

/* 0, or the errno. */
static int dial(const char *where)
{
    struct unix_path to;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(unix_path_open(where, &to), 0);
    int error = connect(fd, (struct sockaddr *)&to.address, sizeof(to.address)) != 0 ? errno : 0;
    unix_path_close(&to);
    close(fd);
    return error;
}

static void only_its_owner_may_use_it(void **state)
{
    struct stat st;
    (void)state;
    mode_t mask = umask(0);
    int fd = unix_socket_listen(path, 4);
    umask(mask);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(dial(path), 0);
    unix_socket_close(fd, path);
    assert_int_equal(stat(path, &st), -1);
}

static void one_that_is_listened_on_stays(void **state)
{
    (void)state;
    int fd = unix_socket_listen(path, 4);
    assert_true(fd >= 0);
    assert_int_equal(unix_socket_listen(path, 4), -1);
    assert_int_equal(dial(path), 0);
    unix_socket_close(fd, path);
}

static void one_with_a_full_queue_stays(void **state)
{
    (void)state;
    struct unix_path to;
    int waiting[8], count = 0, fd = unix_socket_listen(path, 1);
    assert_true(fd >= 0);
    assert_int_equal(unix_path_open(path, &to), 0);
    do
        waiting[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    while (connect(waiting[count++], (struct sockaddr *)&to.address, sizeof(to.address)) == 0 && count < 8);
    assert_true(count < 8);
    assert_int_equal(unix_socket_listen(path, 1), -1);
    while (count > 0)
        close(waiting[--count]);
    unix_socket_close(fd, path);
}

static void a_left_one_is_replaced(void **state)
{
    (void)state;
    close(unix_socket_listen(path, 4)); /* as a killed process does */
    assert_int_equal(dial(path), ECONNREFUSED);
    int fd = unix_socket_listen(path, 4);
    assert_true(fd >= 0);
    assert_int_equal(dial(path), 0);
    unix_socket_close(fd, path);
}

struct racer {
    pthread_barrier_t *start;
    int fd;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    pthread_barrier_wait(racer->start);
    racer->fd = unix_socket_listen(path, 4);
    return NULL;
}

/* Of several that find a left one at the same time, one listens there in the end, and no other believes that it does. */
static void one_of_several_at_once_gets_it(void **state)
{
    enum { RACERS = 4, ROUNDS = 300 };
    pthread_barrier_t start;
    (void)state;
    assert_int_equal(pthread_barrier_init(&start, NULL, RACERS), 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct racer racers[RACERS];
        pthread_t threads[RACERS];
        int winners = 0, fd = -1;
        close(unix_socket_listen(path, 4));
        for (int i = 0; i < RACERS; i++) {
            racers[i].start = &start;
            assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
        }
        for (int i = 0; i < RACERS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            winners += racers[i].fd >= 0;
            fd = racers[i].fd >= 0 ? racers[i].fd : fd;
        }
        assert_int_equal(winners, 1);
        assert_int_equal(dial(path), 0);
        unix_socket_close(fd, path);
    }
    pthread_barrier_destroy(&start);
}

static void what_is_no_socket_stays(void **state)
{
    (void)state;
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(unix_socket_listen(path, 4), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/nowhere", path), 0);
    assert_int_equal(unix_socket_listen(path, 4), -1);
    assert_int_equal(unlink(path), 0);
}

static void no_folder_is_too_deep(void **state)
{
    struct stat st;
    struct unix_path to;
    (void)state;
    assert_true(strlen(deep) > sizeof(to.address.sun_path));
    close(unix_socket_listen(deep, 4));
    int fd = unix_socket_listen(deep, 4); /* the left one is replaced here, too */
    assert_true(fd >= 0);
    assert_int_equal(dial(deep), 0);
    assert_int_equal(stat(deep, &st), 0);
    unix_socket_close(fd, deep);
    assert_int_equal(stat(deep, &st), -1);

    char name[600];
    snprintf(name, sizeof(name), "%s/%s-%s", folder, DEEP, DEEP);
    assert_int_equal(unix_path_open(name, &to), ERR_TOO_LARGE);
    snprintf(name, sizeof(name), "%s/none/%s/s", folder, deep);
    assert_int_equal(unix_path_open(name, &to), ERR_NOT_FOUND);
}

static int set_up(void **state)
{
    char middle[200];
    (void)state;
    log_set_level(LOG_ERROR + 1);
    snprintf(folder, sizeof(folder), "/tmp/arca-unix-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/socket", folder);
    snprintf(middle, sizeof(middle), "%s/%s", folder, DEEP);
    snprintf(deep, sizeof(deep), "%s/%s", middle, DEEP);
    if (mkdir(middle, 0700) != 0 || mkdir(deep, 0700) != 0)
        return -1;
    strcat(deep, "/socket");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char *slash = strrchr(deep, '/');
    *slash = '\0';
    rmdir(deep);
    *strrchr(deep, '/') = '\0';
    rmdir(deep);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_its_owner_may_use_it), cmocka_unit_test(one_that_is_listened_on_stays),
        cmocka_unit_test(one_with_a_full_queue_stays), cmocka_unit_test(a_left_one_is_replaced),
        cmocka_unit_test(one_of_several_at_once_gets_it), cmocka_unit_test(what_is_no_socket_stays),
        cmocka_unit_test(no_folder_is_too_deep),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
