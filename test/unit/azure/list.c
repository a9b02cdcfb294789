/* Pages of Azure's listings, whole and broken, and the settings that the driver takes. */
#include "unit.h"

#include "backends/azure/private.h"
#include "base/err.h"
#include "base/log.h"
#include "blobs.h"

#define NAME_1 "000102030405060708090a0b0c0d0e0f00000001"
#define NAME_2 "000102030405060708090a0b0c0d0e1f00000002"
#define BLOB(key, size) "<Blob><Name>" key "</Name><Properties><Etag>0x1</Etag><Content-Length>" size                \
                        "</Content-Length></Properties></Blob>"
#define PAGE(blobs, marker) "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults "             \
                            "ServiceEndpoint=\"https://a/\"><Prefix>p/</Prefix><Blobs>" blobs "</Blobs>" marker       \
                            "</EnumerationResults>"

static struct blob_batch batch;

static int parse(const char *page, struct blob_cursor *cursor)
{
    return azure_list_parse(span_str(page), "p", cursor, &batch);
}

static void pages_follow_each_other(void **state)
{
    (void)state;
    struct blob_cursor cursor = {0};
    assert_int_equal(parse(PAGE(BLOB("p/0f/" NAME_1, "17") BLOB("p/1f/" NAME_2, "0"), "<NextMarker>2!8!x</NextMarker>"),
                           &cursor), 0);
    assert_int_equal(batch.count, 2);
    assert_int_equal(batch.entries[0].size, 17);
    assert_int_equal(batch.entries[0].name.bytes[15], 0x0f);
    assert_int_equal(batch.entries[1].size, 0);
    assert_int_equal(batch.entries[1].name.bytes[19], 2);
    assert_false(cursor.end);
    assert_int_equal(cursor.length, 5);
    assert_int_equal(parse(PAGE("", "<NextMarker />"), &cursor), 0);
    assert_true(cursor.end);
    assert_int_equal(batch.count, 0);
}

/* Others may keep things in the same container. */
static void strangers_are_left_out(void **state)
{
    (void)state;
    static const char *const strangers[] = {
        BLOB("p/readme.txt", "5"), BLOB("p/0e/" NAME_1, "5"), BLOB("q/0f/" NAME_1, "5"), BLOB("0f/" NAME_1, "5"),
        BLOB("p/0F/" NAME_1, "5"), BLOB("p/0f/" NAME_1 "00", "5"), BLOB("p/p/0f/" NAME_1, "5"),
        BLOB("p/0f/000102030405060708090A0B0c0d0e0f00000001", "5"),
    };
    for (size_t i = 0; i < sizeof(strangers) / sizeof(*strangers); i++) {
        struct blob_cursor cursor = {0};
        char page[2048];
        snprintf(page, sizeof(page), PAGE("%s", "<NextMarker/>"), strangers[i]);
        assert_int_equal(parse(page, &cursor), 0);
        assert_int_equal(batch.count, 0);
    }
}

static void broken_pages_are_errors(void **state)
{
    (void)state;
    static const char *const pages[] = {
        "", "Hello", "<Error/>", "<EnumerationResults/>",
        PAGE(BLOB("p/0f/" NAME_1, "17"), ""),                                       /* cut, and mended */
        PAGE(BLOB("p/0f/" NAME_1, "-1"), "<NextMarker/>"),
        PAGE(BLOB("p/0f/" NAME_1, "99999999999999999999"), "<NextMarker/>"),
        PAGE("<Blob><Name>p/0f/" NAME_1 "</Name></Blob>", "<NextMarker/>"),         /* no size */
        PAGE(BLOB("p/0f/" NAME_1, "17"), "<NextMarker>same</NextMarker>"),
        "<!DOCTYPE x [<!ENTITY e 'a'>]><EnumerationResults><NextMarker/></EnumerationResults>",
    };
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
        struct blob_cursor cursor = {.length = 4, .bytes = "same"};
        assert_int_equal(parse(pages[i], &cursor), ERR_IO);
        assert_int_equal(cursor.length, 4);
    }
}

static void a_page_cut_anywhere_is_an_error(void **state)
{
    (void)state;
    static const char page[] = PAGE(BLOB("p/0f/" NAME_1, "17") BLOB("p/1f/" NAME_2, "0"), "<NextMarker/>");
    for (size_t length = 0; length < sizeof(page) - 1; length++) {
        struct blob_cursor cursor = {0};
        assert_int_equal(azure_list_parse(span_of(page, length), "p", &cursor, &batch), ERR_IO);
    }
}

static void settings_are_checked(void **state)
{
    (void)state;
    char *folder = folder_make(), *file;
    assert_true(asprintf(&file, "%s/credentials", folder) > 0);
    static const char *const wrong_files[] = {
        "", "key: short\n", "key: not*base64*at*all*but*long*enough\n", "sas_token: sv=2021&sp=rw\n",
        "key: YXJjYSBjb250cmFjdCB0ZXN0cw==\nsas_token: sig=abc\n", "sas_token: a#b&sig=abc\n",
    };
    const struct backend_settings good = {.name = "a", .driver = "azure", .account = "account", .bucket = "container",
                                          .credentials_from = BACKEND_CREDENTIALS_FILE, .credentials = file};
    const struct backend_settings wrong[] = {
        {.name = "a", .bucket = "container"}, {.name = "a", .account = "account"},
        {.name = "a", .account = "Account", .bucket = "container"},
        {.name = "a", .account = "account", .bucket = "no/slash"},
        {.name = "a", .account = "account", .bucket = "container", .prefix = "/p"},
        {.name = "a", .account = "account", .bucket = "container", .prefix = "../p"},
        {.name = "a", .account = "account", .bucket = "container", .endpoint = "ftp://host"},
    };
    struct backend *backend;
    FILE *out = fopen(file, "w");
    assert_true(out != NULL && fputs("sas_token: ?sv=2021-08-06&sp=rwdl&sig=a%2Bb%3D\n", out) > 0 && fclose(out) == 0);
    assert_int_equal(azure_open(&good, &backend), 0);
    struct azure *azure = (struct azure *)(void *)backend;
    assert_string_equal(azure->endpoint.host, "account.blob.core.windows.net");
    assert_memory_equal(azure->secret.bytes, "sv=2021", 7);
    backend->ops->close(backend);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct backend_settings settings = wrong[i];
        settings.credentials_from = BACKEND_CREDENTIALS_FILE;
        settings.credentials = file;
        assert_int_equal(azure_open(&settings, &backend), ERR_INVALID);
    }
    for (size_t i = 0; i < sizeof(wrong_files) / sizeof(*wrong_files); i++) {
        out = fopen(file, "w");
        assert_true(out != NULL && fputs(wrong_files[i], out) >= 0 && fclose(out) == 0);
        assert_int_equal(azure_open(&good, &backend), ERR_INVALID);
    }
    free(file);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_follow_each_other),
        cmocka_unit_test(strangers_are_left_out),
        cmocka_unit_test(broken_pages_are_errors),
        cmocka_unit_test(a_page_cut_anywhere_is_an_error),
        cmocka_unit_test(settings_are_checked),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
