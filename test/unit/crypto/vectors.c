/* test/vectors/envelope.json: a keyring of each kind, a bucket key, extents of each suite. `--write` makes them anew;
 * test_vectors.py reads the same file with the decryptor that was written from FORMAT.md. */
#include "crypto_keys.h"

#include <jansson.h>

#include "base/err.h"
#include "base/text.h"
#include "crypto/digest.h"

#define PASSPHRASE "a passphrase for test vectors"

static char file_path[1000];

static void find_file(void)
{
    const char *source = getenv("ARCA_SOURCE");

    snprintf(file_path, sizeof(file_path), "%s/test/vectors/envelope.json", source != NULL ? source : ".");
}

/* Plaintext byte i, in all vectors. */
static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 7 + i / 251 + 1);
}

static uint8_t *seal(const struct data_key *key, enum envelope_suite suite, uint32_t number, uint64_t plain)
{
    uint8_t *extent = malloc(envelope_extent_size(suite, plain));
    struct extent_sealer sealer;

    assert_non_null(extent);
    assert_int_equal(extent_seal_begin(&sealer, key, number, extent), 0);
    for (uint64_t n = 0, at = 0; at < plain; n++, at += ENVELOPE_SEGMENT) {
        size_t length = plain - at < ENVELOPE_SEGMENT ? plain - at : ENVELOPE_SEGMENT;

        for (size_t i = 0; i < length; i++)
            extent[envelope_segment_offset(suite, n) + i] = pattern(at + i);
        extent_seal_segment(&sealer, length, at + length == plain);
    }
    extent_seal_end(&sealer);
    return extent;
}

static void hex_of(struct span bytes, char out[65])
{
    uint8_t digest[DIGEST_MAX];

    digest_once(DIGEST_SHA256, bytes, digest);
    text_hex(span_of(digest, 32), out);
}

static json_t *hex_string(const void *bytes, size_t length)
{
    char *hex = malloc(2 * length + 1);
    json_t *value;

    assert_non_null(hex);
    text_hex(span_of(bytes, length), hex);
    value = json_string(hex);
    free(hex);
    return value;
}

/* Into `out`, exactly `length` bytes. */
static void unhex(json_t *object, const char *name, uint8_t *out, size_t length)
{
    json_t *value = json_object_get(object, name);

    assert_non_null(value);
    assert_int_equal(text_unhex(span_of(json_string_value(value), json_string_length(value)), out, length), 0);
}

static json_t *keyring_vector(enum keyring_unlock how, struct span secret, struct keyring **out)
{
    static const uint64_t key_id = 42;
    struct test_keys own = {0};
    uint8_t file[1000], wrapped[WRAPPED_KEY_SIZE];
    uint32_t generation;
    json_t *object = json_object();
    FILE *stream;
    size_t size;

    test_folder(&own);
    assert_int_equal(keyring_create(own.path, how, secret), 0);
    assert_int_equal(keyring_open(own.path, how, secret, out), 0);
    assert_int_equal(keyring_rotate(*out, own.path, how, secret), 0);
    stream = fopen(own.path, "rb");
    assert_non_null(stream);
    size = fread(file, 1, sizeof(file), stream);
    fclose(stream);
    test_folder_remove(&own);
    assert_int_equal(bucket_key_create(*out, key_id, &generation, wrapped), 0);
    json_object_set_new(object, "unlock", json_string(how == KEYRING_KEY_FILE ? "key file" : "passphrase"));
    json_object_set_new(object, "secret", hex_string(secret.ptr, secret.len));
    json_object_set_new(object, "file", hex_string(file, size));
    json_object_set_new(object, "bucket_key_id", json_integer((json_int_t)key_id));
    json_object_set_new(object, "generation", json_integer(generation));
    json_object_set_new(object, "wrapped_bucket_key", hex_string(wrapped, sizeof(wrapped)));
    return object;
}

static json_t *extent_vector(const struct bucket_key *bucket_key, enum envelope_suite suite, uint32_t number,
                             uint64_t plain)
{
    uint8_t blob_id[BLOB_ID_SIZE] = {0xb1, 0x0b, (uint8_t)suite, (uint8_t)number};
    uint64_t size = envelope_extent_size(suite, plain);
    uint8_t wrapped[WRAPPED_KEY_SIZE];
    struct data_key *key;
    json_t *object = json_object();
    uint8_t *extent;
    char hash[65];

    assert_int_equal(data_key_create(bucket_key, suite, blob_id, wrapped, &key), 0);
    extent = seal(key, suite, number, plain);
    hex_of(span_of(extent, size), hash);
    json_object_set_new(object, "suite", json_string(envelope_suite_name(suite)));
    json_object_set_new(object, "blob_id", hex_string(blob_id, sizeof(blob_id)));
    json_object_set_new(object, "extent_number", json_integer(number));
    json_object_set_new(object, "plain_size", json_integer((json_int_t)plain));
    json_object_set_new(object, "wrapped_data_key", hex_string(wrapped, sizeof(wrapped)));
    json_object_set_new(object, "header", hex_string(extent, ENVELOPE_HEADER_SIZE));
    json_object_set_new(object, "stored_size", json_integer((json_int_t)size));
    json_object_set_new(object, "stored_sha256", json_string(hash));
    if (size < 1000)
        json_object_set_new(object, "stored", hex_string(extent, size));
    free(extent);
    data_key_free(key);
    return object;
}

static void write_vectors(void **state)
{
    static const uint64_t plains[] = {1, 16, 100, ENVELOPE_SEGMENT, ENVELOPE_SEGMENT + 1, 3 * ENVELOPE_SEGMENT};
    static const uint8_t key_file[] = "the content of a key file, 32 bytes or more of it, for test vectors only";
    json_t *keyrings = json_array(), *extents = json_array(), *root = json_object();
    struct keyring *keyring, *other;
    struct bucket_key *key;
    uint8_t wrapped[WRAPPED_KEY_SIZE];

    (void)state;
    assert_int_equal(crypto_init(), 0);
    json_array_append_new(keyrings,
                          keyring_vector(KEYRING_KEY_FILE, span_of(key_file, sizeof(key_file) - 1), &keyring));
    json_array_append_new(keyrings, keyring_vector(KEYRING_PASSPHRASE, SPAN_LITERAL(PASSPHRASE), &other));
    keyring_free(other);
    unhex(json_array_get(keyrings, 0), "wrapped_bucket_key", wrapped, sizeof(wrapped));
    assert_int_equal(bucket_key_open(keyring, 42, 2, span_of(wrapped, sizeof(wrapped)), &key), 0);
    for (enum envelope_suite suite = SUITE_AES_256_GCM; suite <= SUITE_AEGIS_256; suite++) {
        for (uint32_t i = 0; i < sizeof(plains) / sizeof(plains[0]); i++)
            json_array_append_new(extents, extent_vector(key, suite, i, plains[i]));
    }
    json_object_set_new(root, "plaintext", json_string("byte i is (7 * i + i // 251 + 1) % 256"));
    json_object_set_new(root, "keyrings", keyrings);
    json_object_set_new(root, "extents", extents);
    assert_int_equal(json_dump_file(root, file_path, JSON_INDENT(1)), 0);
    json_decref(root);
    bucket_key_free(key);
    keyring_free(keyring);
}

static json_t *vectors;

static struct bucket_key *open_bucket_key(json_t *vector)
{
    const char *unlock = json_string_value(json_object_get(vector, "unlock"));
    enum keyring_unlock how = strcmp(unlock, "key file") == 0 ? KEYRING_KEY_FILE : KEYRING_PASSPHRASE;
    size_t size = json_string_length(json_object_get(vector, "file")) / 2;
    size_t secret_size = json_string_length(json_object_get(vector, "secret")) / 2;
    uint8_t file[1000], secret[200], wrapped[WRAPPED_KEY_SIZE];
    struct test_keys own = {0};
    struct keyring *keyring;
    struct bucket_key *key;
    FILE *stream;

    assert_true(size <= sizeof(file) && secret_size <= sizeof(secret));
    unhex(vector, "file", file, size);
    unhex(vector, "secret", secret, secret_size);
    unhex(vector, "wrapped_bucket_key", wrapped, sizeof(wrapped));
    test_folder(&own);
    stream = fopen(own.path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(file, 1, size, stream), size);
    fclose(stream);
    assert_int_equal(keyring_open(own.path, how, span_of(secret, secret_size), &keyring), 0);
    assert_int_equal(keyring_generation(keyring), 2);
    assert_int_equal(bucket_key_open(keyring, (uint64_t)json_integer_value(json_object_get(vector, "bucket_key_id")),
                                     (uint32_t)json_integer_value(json_object_get(vector, "generation")),
                                     span_of(wrapped, sizeof(wrapped)), &key), 0);
    keyring_free(keyring);
    test_folder_remove(&own);
    return key;
}

static int load(void **state)
{
    json_error_t error;

    (void)state;
    vectors = json_load_file(file_path, 0, &error);
    return vectors != NULL && crypto_init() == 0 ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static void keyrings_open(void **state)
{
    json_t *one;
    size_t i;

    (void)state;
    assert_int_equal(json_array_size(json_object_get(vectors, "keyrings")), 2);
    json_array_foreach(json_object_get(vectors, "keyrings"), i, one)
        bucket_key_free(open_bucket_key(one));
}

/* Sealing is deterministic once the data key is given. */
static void extents_are_sealed_to_the_same_bytes(void **state)
{
    struct bucket_key *bucket_key = open_bucket_key(json_array_get(json_object_get(vectors, "keyrings"), 0));
    json_t *one;
    size_t i, checked = 0;

    (void)state;
    json_array_foreach(json_object_get(vectors, "extents"), i, one) {
        uint8_t blob_id[BLOB_ID_SIZE], wrapped[WRAPPED_KEY_SIZE];
        uint64_t plain = (uint64_t)json_integer_value(json_object_get(one, "plain_size"));
        uint32_t number = (uint32_t)json_integer_value(json_object_get(one, "extent_number"));
        enum envelope_suite suite;
        struct data_key *key;
        uint64_t size;
        uint8_t *extent;
        char hash[65];

        if (envelope_suite_by_name(json_string_value(json_object_get(one, "suite")), &suite) != 0)
            continue;
        unhex(one, "blob_id", blob_id, sizeof(blob_id));
        unhex(one, "wrapped_data_key", wrapped, sizeof(wrapped));
        assert_int_equal(data_key_open(bucket_key, suite, blob_id, span_of(wrapped, sizeof(wrapped)), &key), 0);
        extent = seal(key, suite, number, plain);
        size = envelope_extent_size(suite, plain);
        assert_int_equal(size, json_integer_value(json_object_get(one, "stored_size")));
        hex_of(span_of(extent, size), hash);
        assert_string_equal(hash, json_string_value(json_object_get(one, "stored_sha256")));
        free(extent);
        data_key_free(key);
        checked++;
    }
    assert_true(checked >= 12);
    bucket_key_free(bucket_key);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest writing[] = {cmocka_unit_test(write_vectors)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyrings_open),
        cmocka_unit_test(extents_are_sealed_to_the_same_bytes),
    };

    find_file();
    if (argc == 2 && strcmp(argv[1], "--write") == 0)
        return cmocka_run_group_tests(writing, NULL, NULL);
    return cmocka_run_group_tests(tests, load, unload);
}
