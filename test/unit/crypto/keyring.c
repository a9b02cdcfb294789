#include "crypto_keys.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/err.h"

static struct test_keys keys;

static int setup(void **state)
{
    (void)state;
    test_keys_create(&keys);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_keys_free(&keys);
    return 0;
}

static struct span secret(void)
{
    return span_of(keys.secret, sizeof(keys.secret));
}

static int reopen(struct keyring **out)
{
    return keyring_open(keys.path, KEYRING_KEY_FILE, secret(), out);
}

static size_t read_file(uint8_t *out, size_t capacity)
{
    FILE *file = fopen(keys.path, "rb");
    size_t size;

    assert_non_null(file);
    size = fread(out, 1, capacity, file);
    fclose(file);
    return size;
}

static void write_file(const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(keys.path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void a_new_keyring_is_private_and_is_not_overwritten(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(stat(keys.path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(keyring_create(keys.path, KEYRING_KEY_FILE, secret()), ERR_EXISTS);
    assert_int_equal(keyring_generation(keys.keyring), 1);
}

static void the_same_file_gives_the_same_keys(void **state)
{
    uint8_t wrapped[WRAPPED_KEY_SIZE], mine[KEYRING_ID_SIZE], its[KEYRING_ID_SIZE];
    struct keyring *again;
    struct bucket_key *key;
    uint32_t generation;

    (void)state;
    assert_int_equal(reopen(&again), 0);
    keyring_id(keys.keyring, mine);
    keyring_id(again, its);
    assert_memory_equal(mine, its, sizeof(mine));
    assert_int_equal(bucket_key_create(keys.keyring, 5, &generation, wrapped), 0);
    assert_int_equal(bucket_key_open(again, 5, generation, span_of(wrapped, sizeof(wrapped)), &key), 0);
    bucket_key_free(key);
    keyring_free(again);
}

static void what_does_not_open_says_why(void **state)
{
    uint8_t other[32] = "another secret";
    struct keyring *keyring;

    (void)state;
    assert_int_equal(keyring_open(keys.path, KEYRING_KEY_FILE, span_of(other, 32), &keyring), ERR_WRONG_KEY);
    assert_int_equal(keyring_open(keys.path, KEYRING_KEY_FILE, span_of(other, 31), &keyring), ERR_INVALID);
    assert_int_equal(keyring_open(keys.path, KEYRING_PASSPHRASE, secret(), &keyring), ERR_WRONG_KEY);
    assert_int_equal(keyring_open("/nonexistent/keyring", KEYRING_KEY_FILE, secret(), &keyring), ERR_NOT_FOUND);
    assert_int_equal(keyring_create("/nonexistent/keyring", KEYRING_KEY_FILE, secret()), ERR_NOT_FOUND);
}

static void a_damaged_file_is_not_taken_for_a_wrong_secret(void **state)
{
    uint8_t file[1000];
    size_t size = read_file(file, sizeof(file));
    struct keyring *keyring;

    (void)state;
    assert_int_equal(size, 168);
    for (size_t cut = 0; cut < size; cut++) {
        write_file(file, cut);
        assert_int_equal(reopen(&keyring), ERR_CORRUPT);
    }
    for (size_t i = 0; i < size; i++) {
        file[i] ^= 4;
        write_file(file, size);
        assert_int_equal(reopen(&keyring), i == 8 ? ERR_FORMAT : ERR_CORRUPT);
        file[i] ^= 4;
    }
    file[size] = 0;
    write_file(file, size + 1);
    assert_int_equal(reopen(&keyring), ERR_CORRUPT);
    write_file(file, size);
    assert_int_equal(reopen(&keyring), 0);
    keyring_free(keyring);
}

static void a_passphrase_opens_what_it_sealed(void **state)
{
    struct test_keys own = {0};
    struct keyring *keyring;

    (void)state;
    test_folder(&own);
    assert_int_equal(keyring_create(own.path, KEYRING_PASSPHRASE, SPAN_NONE), ERR_INVALID);
    assert_int_equal(keyring_create(own.path, KEYRING_PASSPHRASE, SPAN_LITERAL("correct horse")), 0);
    assert_int_equal(keyring_open(own.path, KEYRING_PASSPHRASE, SPAN_LITERAL("Correct horse"), &keyring),
                     ERR_WRONG_KEY);
    assert_int_equal(keyring_open(own.path, KEYRING_PASSPHRASE, SPAN_LITERAL("correct horse"), &keyring), 0);
    keyring_free(keyring);
    test_folder_remove(&own);
}

static void bucket_keys_fit_their_id_generation_and_keyring_only(void **state)
{
    uint8_t wrapped[WRAPPED_KEY_SIZE];
    struct span span = span_of(wrapped, sizeof(wrapped));
    struct test_keys other;
    struct bucket_key *key;
    uint32_t generation;

    (void)state;
    test_keys_create(&other);
    assert_int_equal(bucket_key_create(keys.keyring, 5, &generation, wrapped), 0);
    assert_int_equal(bucket_key_open(keys.keyring, 6, generation, span, &key), ERR_WRONG_KEY);
    assert_int_equal(bucket_key_open(keys.keyring, 5, 99, span, &key), ERR_NOT_FOUND);
    assert_int_equal(bucket_key_open(other.keyring, 5, generation, span, &key), ERR_WRONG_KEY);
    assert_int_equal(bucket_key_open(keys.keyring, 5, generation, span_take(span, 71), &key), ERR_INVALID);
    for (size_t i = 0; i < sizeof(wrapped); i++) {
        wrapped[i] ^= 0x80;
        assert_int_equal(bucket_key_open(keys.keyring, 5, generation, span, &key), ERR_WRONG_KEY);
        wrapped[i] ^= 0x80;
    }
    test_keys_free(&other);
}

static void rotation_rewraps_and_keeps_old_generations(void **state)
{
    static const uint8_t blob_id[BLOB_ID_SIZE] = "a blob";
    uint8_t old[WRAPPED_KEY_SIZE], new[WRAPPED_KEY_SIZE], wrapped_data[WRAPPED_KEY_SIZE];
    uint8_t other[32] = "another secret";
    uint32_t generation, new_generation;
    struct data_key *data_key;
    struct bucket_key *key;
    struct keyring *again;

    (void)state;
    assert_int_equal(bucket_key_create(keys.keyring, 5, &generation, old), 0);
    assert_int_equal(bucket_key_open(keys.keyring, 5, generation, span_of(old, sizeof(old)), &key), 0);
    assert_int_equal(data_key_create(key, SUITE_AES_256_GCM, blob_id, wrapped_data, &data_key), 0);
    data_key_free(data_key);
    bucket_key_free(key);

    assert_int_equal(keyring_rotate(keys.keyring, keys.path, KEYRING_KEY_FILE, span_of(other, 32)), ERR_WRONG_KEY);
    assert_int_equal(keyring_generation(keys.keyring), 1);
    assert_int_equal(keyring_rotate(keys.keyring, keys.path, KEYRING_KEY_FILE, secret()), 0);
    assert_int_equal(keyring_generation(keys.keyring), 2);
    assert_int_equal(reopen(&again), 0);
    assert_int_equal(keyring_generation(again), 2);
    assert_int_equal(keyring_rewrap(again, 5, generation, span_of(old, sizeof(old)), &new_generation, new), 0);
    assert_int_equal(new_generation, 2);
    /* The rewrapped key is the same one: it opens the same data key. */
    assert_int_equal(bucket_key_open(again, 5, 2, span_of(new, sizeof(new)), &key), 0);
    assert_int_equal(data_key_open(key, SUITE_AES_256_GCM, blob_id, span_of(wrapped_data, sizeof(wrapped_data)),
                                   &data_key), 0);
    data_key_free(data_key);
    bucket_key_free(key);
    assert_int_equal(bucket_key_open(again, 5, 1, span_of(old, sizeof(old)), &key), 0);
    bucket_key_free(key);
    assert_int_equal(bucket_key_open(again, 5, 1, span_of(new, sizeof(new)), &key), ERR_WRONG_KEY);

    /* Who still has the older keys must not write them over the newer. */
    assert_int_equal(keyring_rotate(again, keys.path, KEYRING_KEY_FILE, secret()), 0);
    assert_int_equal(keyring_rotate(keys.keyring, keys.path, KEYRING_KEY_FILE, secret()), ERR_CONFLICT);
    keyring_free(again);
    assert_int_equal(reopen(&again), 0);
    assert_int_equal(keyring_generation(again), 3);
    keyring_free(keys.keyring);
    keys.keyring = again;
}

static void two_rotations_at_once_do_not_happen(void **state)
{
    int fd = open(keys.path, O_RDONLY);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(keyring_rotate(keys.keyring, keys.path, KEYRING_KEY_FILE, secret()), ERR_LOCKED);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_keyring_is_private_and_is_not_overwritten),
        cmocka_unit_test(the_same_file_gives_the_same_keys),
        cmocka_unit_test(what_does_not_open_says_why),
        cmocka_unit_test(a_damaged_file_is_not_taken_for_a_wrong_secret),
        cmocka_unit_test(a_passphrase_opens_what_it_sealed),
        cmocka_unit_test(bucket_keys_fit_their_id_generation_and_keyring_only),
        cmocka_unit_test(rotation_rewraps_and_keeps_old_generations),
        cmocka_unit_test(two_rotations_at_once_do_not_happen),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
