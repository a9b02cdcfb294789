/* libcurl's multi interface on libuv. The handles of libuv exist only while transfers are under way, so that an idle
 * client does not hold its loop back from ending; the connections stay. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/list.h"
#include "remote_private.h"

#define EASY_KEPT 32

struct multi {
    CURLM *curl;
    struct loop *loop;
    uv_timer_t *timer; /* NULL while nothing is under way */
    unsigned active;   /* transfers */
    unsigned polls;    /* sockets looked at */
    struct loop_quiet kick;
    CURL *easies[EASY_KEPT];
    unsigned easy_count;
};

struct poll {
    uv_poll_t handle;
    struct multi *multi;
    curl_socket_t fd;
};

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void free_poll(uv_handle_t *handle)
{
    free(LIST_ENTRY(handle, struct poll, handle));
}

/* --- turns of libcurl, on the loop's own stack --- */

static void rest(struct multi *multi)
{
    if (multi->active > 0 || multi->polls > 0 || multi->timer == NULL)
        return;
    uv_close((uv_handle_t *)multi->timer, free_handle);
    multi->timer = NULL;
}

static void leave(struct multi *multi, CURL *easy)
{
    curl_multi_remove_handle(multi->curl, easy);
    multi->active--;
}

static void act(struct multi *multi, curl_socket_t fd, int events)
{
    int running, left;
    curl_multi_socket_action(multi->curl, fd, events, &running);
    for (CURLMsg *message; (message = curl_multi_info_read(multi->curl, &left)) != NULL;) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct attempt *attempt = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&attempt);
        attempt->code = message->data.result;
        attempt->done = true;
        leave(multi, attempt->easy);
        fiber_wake(attempt->fiber);
    }
    rest(multi);
}

static void on_kick(void *arg)
{
    struct multi *multi = arg;
    if (multi->active > 0)
        act(multi, CURL_SOCKET_TIMEOUT, 0);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct poll *poll = LIST_ENTRY(handle, struct poll, handle);
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    act(poll->multi, poll->fd, what);
}

/* --- what libcurl asks for --- */

static int on_wants_timer(CURLM *curl, long timeout_ms, void *arg)
{
    (void)curl;
    struct multi *multi = arg;
    if (multi->timer == NULL)
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(multi->timer);
    else
        uv_timer_start(multi->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static struct poll *poll_create(struct multi *multi, curl_socket_t fd)
{
    struct poll *poll = calloc(1, sizeof(*poll));
    if (poll == NULL)
        return NULL;
    poll->multi = multi;
    poll->fd = fd;
    if (uv_poll_init_socket(loop_uv(multi->loop), &poll->handle, fd) != 0) {
        free(poll);
        return NULL;
    }
    multi->polls++;
    curl_multi_assign(multi->curl, fd, poll);
    return poll;
}

/* Ceph's gateway writes an answer's head and body apart, without TCP_NODELAY: until the head is acknowledged, its kernel
 * keeps the body of a small answer back, for the 40 ms that ours would delay that. The kernel forgets this option, so that it
 * is set with each answer that is waited for. */
static void acknowledge_at_once(curl_socket_t fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

static int on_wants_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct multi *multi = arg;
    struct poll *poll = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (poll != NULL) {
            multi->polls--;
            curl_multi_assign(multi->curl, fd, NULL);
            uv_close((uv_handle_t *)&poll->handle, free_poll); /* stops it at once */
        }
        return 0;
    }
    if (poll == NULL && (poll = poll_create(multi, fd)) == NULL)
        return -1;
    if (what & CURL_POLL_IN)
        acknowledge_at_once(fd);
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&poll->handle, events, on_poll) == 0 ? 0 : -1;
}

/* --- life --- */

static struct multi *multi_create(const struct remote *remote)
{
    struct multi *multi = calloc(1, sizeof(*multi));
    if (multi == NULL)
        return NULL;
    multi->curl = curl_multi_init();
    if (multi->curl == NULL) {
        free(multi);
        return NULL;
    }
    multi->kick = (struct loop_quiet){.fn = on_kick, .arg = multi};
    long connections = (long)remote->options.connections;
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_wants_socket);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_wants_timer);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS, connections);
    curl_multi_setopt(multi->curl, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    return multi;
}

struct multi *multi_of_loop(struct remote *remote)
{
    struct multi **slot = &remote->multis[loop_number(loop_self())];
    if (*slot == NULL)
        *slot = multi_create(remote);
    return *slot;
}

void multi_free(struct multi *multi)
{
    if (multi == NULL)
        return;
    for (unsigned i = 0; i < multi->easy_count; i++)
        curl_easy_cleanup(multi->easies[i]);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, NULL);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, NULL);
    curl_multi_cleanup(multi->curl);
    free(multi);
}

CURL *multi_take_easy(struct multi *multi)
{
    if (multi->easy_count == 0)
        return curl_easy_init();
    return multi->easies[--multi->easy_count];
}

void multi_give_easy(struct multi *multi, CURL *easy)
{
    if (multi->easy_count == EASY_KEPT) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    multi->easies[multi->easy_count++] = easy;
}

/* --- one transfer --- */

static int enter(struct multi *multi, struct attempt *attempt)
{
    if (multi->timer == NULL) {
        multi->loop = loop_self();
        multi->timer = malloc(sizeof(*multi->timer));
        if (multi->timer == NULL)
            return ERR_NOMEM;
        uv_timer_init(loop_uv(multi->loop), multi->timer);
        multi->timer->data = multi;
    }
    if (curl_multi_add_handle(multi->curl, attempt->easy) != CURLM_OK) {
        rest(multi);
        return ERR_NOMEM;
    }
    multi->active++;
    /* All that this turn of the loop starts is started together, and without waiting for the timer. */
    loop_when_quiet(multi->loop, &multi->kick);
    return 0;
}

int multi_run(struct multi *multi, struct attempt *attempt)
{
    int64_t stall_ms = attempt->remote->options.stall_timeout_ms;
    int64_t deadline_ms = attempt->request->deadline_ms;
    int rc = enter(multi, attempt);
    if (rc != 0)
        return rc;
    while (rc == 0 && !attempt->done) {
        int64_t stalled_ms = attempt->moved_ms + stall_ms;
        rc = fiber_wait(stalled_ms < deadline_ms ? stalled_ms : deadline_ms);
        if (rc != ERR_TIMEOUT || loop_now_ms() >= deadline_ms)
            continue;
        rc = loop_now_ms() >= attempt->moved_ms + stall_ms ? ERR_UNAVAILABLE : 0;
    }
    if (attempt->done)
        return 0;
    leave(multi, attempt->easy);
    rest(multi);
    return rc;
}
