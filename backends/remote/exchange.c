/* One exchange: what libcurl is told to send, and what becomes of the answer's bytes. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "remote_private.h"

#define HEAD_MAX   65536 /* bytes of an answer's head */
#define DROP_MAX   65536 /* bytes of a body that nobody wants, before the connection is given up */
#define BIG_BODY   65536
#define BIG_BUFFER 262144L
#define BUFFER     16384L
#define NOT_YET    (INT64_MAX / 2) /* no stall before it has a connection */

static void moved(struct attempt *attempt)
{
    attempt->moved_ms = loop_now_ms();
}

/* It has a connection: until then libcurl's limit for connecting counts, and while it waits for another's, the deadline. */
static int on_connected(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    (void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
    struct attempt *attempt = arg;
    moved(attempt);
    fiber_wake(attempt->fiber);
    return CURL_PREREQFUNC_OK;
}

/* --- the body that is sent --- */

static size_t on_read(char *out, size_t size, size_t count, void *arg)
{
    struct attempt *attempt = arg;
    struct span rest = span_take(span_skip(attempt->request->body, attempt->sent), size * count);
    if (rest.len > 0)
        memcpy(out, rest.ptr, rest.len);
    attempt->sent += rest.len;
    moved(attempt);
    return rest.len;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct attempt *attempt = arg;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > attempt->request->body.len)
        return CURL_SEEKFUNC_FAIL;
    attempt->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* --- the answer's head --- */

static int status_of(const struct attempt *attempt)
{
    long status = 0;
    curl_easy_getinfo(attempt->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* Seconds, or a date. What is neither counts as absent. */
static int64_t parse_retry_after(struct span value)
{
    uint64_t seconds;
    int64_t at;
    if (span_to_u64(value, &seconds) == 0)
        return seconds < 1000000 ? (int64_t)seconds * 1000 : 1000000000;
    if (clock_parse_http(value, &at) != 0)
        return 0;
    int64_t wait_ms = at * 1000 - clock_wall_ms();
    return wait_ms > 0 ? wait_ms : 0;
}

static void forget_head(struct attempt *attempt)
{
    struct remote_request *request = attempt->request;
    attempt->retry_after_ms = 0;
    for (size_t i = 0; i < request->field_count; i++) {
        request->fields[i].length = 0;
        request->fields[i].value[0] = '\0';
    }
}

static void take_field(struct remote_request *request, struct span name, struct span value)
{
    for (size_t i = 0; i < request->field_count; i++) {
        struct remote_field *field = &request->fields[i];
        if (!span_ieq(name, span_str(field->name)))
            continue;
        field->length = value.len <= REMOTE_FIELD_MAX ? value.len : 0;
        memcpy(field->value, value.ptr, field->length);
        field->value[field->length] = '\0';
    }
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct attempt *attempt = arg;
    struct span text = span_of(line, size * count), name;
    moved(attempt);
    attempt->head += text.len;
    if (attempt->head > HEAD_MAX)
        return 0;
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    if (span_starts(text, SPAN_LITERAL("HTTP/"))) { /* an interim answer may have come before */
        forget_head(attempt);
        return size * count;
    }
    struct span value = span_split(text, ':', &name);
    if (value.ptr == NULL)
        return size * count;
    value = span_trim(value);
    if (span_ieq(name, SPAN_LITERAL("retry-after")))
        attempt->retry_after_ms = parse_retry_after(value);
    take_field(attempt->request, name, value);
    return size * count;
}

/* --- the answer's body --- */

static size_t overflow(struct attempt *attempt)
{
    attempt->overflow = true;
    attempt->failed = ERR_IO;
    return 0;
}

static size_t drop(struct attempt *attempt, size_t size)
{
    attempt->dropped += size;
    return attempt->dropped <= DROP_MAX ? size : overflow(attempt);
}

static size_t keep_words(struct attempt *attempt, struct span data)
{
    struct span *words = &attempt->request->answer.words;
    struct span some = span_take(data, REMOTE_WORDS_MAX - words->len);
    if (words->ptr == NULL && (words->ptr = arena_alloc(attempt->request->arena, REMOTE_WORDS_MAX)) == NULL) {
        attempt->failed = ERR_NOMEM;
        return 0;
    }
    memcpy((uint8_t *)(uintptr_t)words->ptr + words->len, some.ptr, some.len);
    words->len += some.len;
    return drop(attempt, data.len);
}

static size_t on_write(char *bytes, size_t size, size_t count, void *arg)
{
    struct attempt *attempt = arg;
    struct remote_request *request = attempt->request;
    struct remote_answer *answer = &request->answer;
    struct span data = span_of(bytes, size * count);
    int status = status_of(attempt);
    moved(attempt);
    if (data.len == 0)
        return 0;
    if (status < 200 || status >= 300)
        return keep_words(attempt, data);
    if (request->dst != NULL) {
        if (data.len > request->capacity - answer->length)
            return overflow(attempt);
        memcpy(request->dst + answer->length, data.ptr, data.len);
    } else if (request->text != NULL) {
        buf_append(request->text, data);
        if (request->text->failed == ERR_NOMEM) {
            attempt->failed = ERR_NOMEM;
            return 0;
        }
        if (request->text->failed != 0)
            return overflow(attempt);
    } else {
        return drop(attempt, data.len);
    }
    answer->length += data.len;
    return data.len;
}

/* --- setting up --- */

static int add_header(struct attempt *attempt, const char *line)
{
    struct curl_slist *longer = curl_slist_append(attempt->headers, line);
    if (longer == NULL)
        return ERR_NOMEM;
    attempt->headers = longer;
    return 0;
}

/* Beside the request's own: none that libcurl would add of itself, since what is sent is what is signed. */
static int set_headers(struct attempt *attempt)
{
    const struct remote_request *request = attempt->request;
    int rc = add_header(attempt, "Accept:");
    if (rc == 0)
        rc = add_header(attempt, "Expect:");
    if (rc == 0)
        rc = add_header(attempt, "User-Agent:");
    for (size_t i = 0; rc == 0 && i < request->header_count; i++) {
        const struct sign_header *header = &request->headers[i];
        bool empty = header->value.len == 0;
        char *line = arena_printf(request->arena, empty ? "%.*s;%.*s" : "%.*s: %.*s", SPAN_FMT(header->name),
                                  SPAN_FMT(header->value));
        if (line == NULL)
            return ERR_NOMEM;
        if (strlen(line) != header->name.len + header->value.len + (empty ? 1 : 2) || strpbrk(line, "\r\n") != NULL)
            return ERR_INVALID;
        rc = add_header(attempt, line);
    }
    return rc != 0 || curl_easy_setopt(attempt->easy, CURLOPT_HTTPHEADER, attempt->headers) == CURLE_OK ? rc
                                                                                                        : ERR_NOMEM;
}

static CURLcode set_method(struct attempt *attempt)
{
    const struct remote_request *request = attempt->request;
    CURL *easy = attempt->easy;
    if (strcmp(request->method, "HEAD") == 0)
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (strcmp(request->method, "PUT") != 0 && strcmp(request->method, "POST") != 0)
        return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body.len);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, attempt);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, attempt);
    if (request->body.len > BIG_BODY)
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, BIG_BUFFER);
    return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static CURLcode set_connection(struct attempt *attempt)
{
    const struct remote_options *options = &attempt->remote->options;
    CURL *easy = attempt->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a resolver's thread is not waited for */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, attempt->request->capacity > BIG_BODY ? BIG_BUFFER : BUFFER);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    CURLcode code = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy != NULL ? options->proxy : "");
    if (code == CURLE_OK && options->ca_file != NULL)
        code = curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
    return code;
}

static int set_up(struct attempt *attempt)
{
    CURL *easy = attempt->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, attempt);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, attempt->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, attempt);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, attempt);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, attempt);
    if (curl_easy_setopt(easy, CURLOPT_URL, attempt->request->url) != CURLE_OK || set_connection(attempt) != CURLE_OK ||
        set_method(attempt) != CURLE_OK)
        return ERR_NOMEM;
    return set_headers(attempt);
}

/* --- the exchange --- */

static void take_answer(struct attempt *attempt, int rc)
{
    struct remote_answer *answer = &attempt->request->answer;
    curl_off_t length = -1;
    answer->status = status_of(attempt);
    curl_easy_getinfo(attempt->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    answer->content_length = length;
    if (attempt->overflow)
        snprintf(answer->why, sizeof(answer->why), "the answer is too long");
    else if (attempt->head > HEAD_MAX)
        snprintf(answer->why, sizeof(answer->why), "the answer's head is too long");
    else if (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT)
        snprintf(answer->why, sizeof(answer->why), "no answer in time");
    else if (rc == 0 && attempt->code != CURLE_OK)
        snprintf(answer->why, sizeof(answer->why), "%.95s",
                 attempt->error[0] != '\0' ? attempt->error : curl_easy_strerror(attempt->code));
}

int exchange_run(struct remote *remote, struct remote_request *request, struct attempt *attempt)
{
    *attempt = (struct attempt){.request = request, .remote = remote, .fiber = fiber_self()};
    struct multi *multi = multi_of_loop(remote);
    if (multi == NULL)
        return ERR_NOMEM;
    attempt->easy = multi_take_easy(multi);
    if (attempt->easy == NULL)
        return ERR_NOMEM;
    attempt->text_start = request->text != NULL ? request->text->len : 0;
    forget_head(attempt);
    attempt->moved_ms = NOT_YET;
    int rc = set_up(attempt);
    if (rc == 0) {
        rc = multi_run(multi, attempt);
        take_answer(attempt, rc);
    }
    bool whole = rc == 0 && attempt->code == CURLE_OK && attempt->failed == 0;
    if (request->text != NULL && !whole) { /* the next attempt begins anew */
        request->text->len = attempt->text_start;
        request->text->failed = 0;
    }
    multi_give_easy(multi, attempt->easy);
    curl_slist_free_all(attempt->headers);
    return rc;
}
