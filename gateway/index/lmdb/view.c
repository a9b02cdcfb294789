#include "index/lmdb/view.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"

#define MAP_SIZE_DEFAULT (1ULL << 40)
#define MAP_SIZE_LEAST   (1ULL << 30)
#define READERS_MAX      (2 * LOOPS_MAX)
#define DISK_FULL        (8U << 20) /* bytes left that one transaction may have wanted */

struct view {
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    struct txn readers[LOOPS_MAX];
};

static const char *const table_names[] = {
#define X(id, name) [TABLE_##id] = name,
    TABLES(X)
#undef X
};

const char *table_name(enum table table)
{
    return table_names[table];
}

int view_error(int mdb_rc)
{
    switch (mdb_rc) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_KEYEXIST:
        return ERR_EXISTS;
    case MDB_MAP_FULL:
        return ERR_NOSPC;
    case MDB_READERS_FULL:
    case MDB_TXN_FULL:
        return ERR_BUSY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_PANIC:
        return ERR_CORRUPT;
    default:
        return mdb_rc > 0 ? err_from_errno(mdb_rc) : ERR_BUG;
    }
}

static MDB_val val(struct span s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)s.ptr};
}

/* --- opening --- */

static int open_env(const char *path, uint64_t map_size, MDB_env **out)
{
    const unsigned flags = MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMEMINIT;
    for (;;) {
        MDB_env *env;
        int rc = mdb_env_create(&env);
        if (rc != 0)
            return rc;
        if ((rc = mdb_env_set_maxdbs(env, TABLE_COUNT)) == 0 && (rc = mdb_env_set_maxreaders(env, READERS_MAX)) == 0 &&
            (rc = mdb_env_set_mapsize(env, map_size)) == 0)
            rc = mdb_env_open(env, path, flags, 0600);
        if (rc == 0) {
            *out = env;
            return 0;
        }
        mdb_env_close(env);
        if (rc != ENOMEM || map_size / 4 < MAP_SIZE_LEAST)
            return rc;
        map_size /= 4;
    }
}

static int open_tables(struct view *view)
{
    struct txn txn;
    int rc = view_write(view, &txn);
    if (rc != 0)
        return rc;
    for (int i = 0; i < TABLE_COUNT && rc == 0; i++)
        rc = view_error(mdb_dbi_open(txn.mdb, table_names[i], MDB_CREATE, &view->tables[i]));
    if (rc != 0) {
        txn_abort(&txn);
        return rc;
    }
    return txn_commit(&txn);
}

int view_open(const char *path, uint64_t map_size, struct view **out)
{
    struct view *view = calloc(1, sizeof(*view));
    if (view == NULL)
        return ERR_NOMEM;
    int rc = view_error(open_env(path, map_size != 0 ? map_size : MAP_SIZE_DEFAULT, &view->env));
    if (rc != 0)
        goto err0;
    if ((rc = open_tables(view)) != 0)
        goto err1;
    *out = view;
    return 0;

err1:
    mdb_env_close(view->env);
err0:
    free(view);
    return rc;
}

static void txn_free_reader(struct txn *txn)
{
    for (int i = 0; i < TABLE_COUNT; i++)
        if (txn->cursors[i] != NULL)
            mdb_cursor_close(txn->cursors[i]);
    if (txn->mdb != NULL)
        mdb_txn_abort(txn->mdb);
}

void view_close(struct view *view)
{
    if (view == NULL)
        return;
    for (int i = 0; i < LOOPS_MAX; i++)
        txn_free_reader(&view->readers[i]);
    mdb_env_close(view->env);
    free(view);
}

int view_sync(struct view *view)
{
    return view_error(mdb_env_sync(view->env, 1));
}

int view_copy(struct view *view, const char *path)
{
    return view_error(mdb_env_copy2(view->env, path, MDB_CP_COMPACT));
}

uint64_t view_used(const struct view *view)
{
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_env_info(view->env, &info) != 0 || mdb_env_stat(view->env, &stat) != 0)
        return 0;
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

/* --- transactions --- */

int view_read(struct view *view, struct txn **out)
{
    struct loop *loop = loop_self();
    struct txn *txn;
    if (loop != NULL) {
        txn = &view->readers[loop_number(loop)];
    } else if ((txn = calloc(1, sizeof(*txn))) == NULL) {
        return ERR_NOMEM;
    } else {
        txn->own = true;
    }
    txn->view = view;
    int rc = txn->mdb != NULL ? mdb_txn_renew(txn->mdb) : mdb_txn_begin(view->env, NULL, MDB_RDONLY, &txn->mdb);
    if (rc != 0) {
        if (txn->own)
            free(txn);
        return view_error(rc);
    }
    *out = txn;
    return 0;
}

void view_read_end(struct txn *txn)
{
    if (txn->own) {
        txn_free_reader(txn);
        free(txn);
        return;
    }
    mdb_txn_reset(txn->mdb);
    memset(txn->live, 0, sizeof(txn->live));
}

int view_write(struct view *view, struct txn *txn)
{
    memset(txn, 0, sizeof(*txn));
    txn->view = view;
    return view_error(mdb_txn_begin(view->env, NULL, 0, &txn->mdb));
}

/* LMDB reports a short write, which is what a full disk answers first, as EIO. */
static bool disk_full(MDB_env *env)
{
    struct statvfs st;
    int fd;
    return mdb_env_get_fd(env, &fd) == 0 && fstatvfs(fd, &st) == 0 && st.f_bavail * st.f_frsize < DISK_FULL;
}

/* LMDB frees a write transaction's cursors with it. */
int txn_commit(struct txn *txn)
{
    MDB_txn *mdb = txn->mdb;
    MDB_env *env = txn->view->env;
    memset(txn, 0, sizeof(*txn));
    int rc = view_error(mdb_txn_commit(mdb));
    return rc == ERR_IO && disk_full(env) ? ERR_NOSPC : rc;
}

void txn_abort(struct txn *txn)
{
    if (txn->mdb != NULL)
        mdb_txn_abort(txn->mdb);
    memset(txn, 0, sizeof(*txn));
}

/* --- rows --- */

int txn_get(struct txn *txn, enum table table, struct span key, struct span *value)
{
    MDB_val k = val(key), v;
    int rc = mdb_get(txn->mdb, txn->view->tables[table], &k, &v);
    if (rc != 0)
        return view_error(rc);
    *value = span_of(v.mv_data, v.mv_size);
    return 0;
}

int txn_put(struct txn *txn, enum table table, struct span key, struct span value)
{
    MDB_val k = val(key), v = val(value);
    txn->touched = true;
    return view_error(mdb_put(txn->mdb, txn->view->tables[table], &k, &v, 0));
}

int txn_reserve(struct txn *txn, enum table table, struct span key, size_t size, uint8_t **value)
{
    MDB_val k = val(key), v = {.mv_size = size};
    txn->touched = true;
    int rc = mdb_put(txn->mdb, txn->view->tables[table], &k, &v, MDB_RESERVE);
    *value = v.mv_data;
    return view_error(rc);
}

int txn_delete(struct txn *txn, enum table table, struct span key)
{
    MDB_val k = val(key);
    int rc = mdb_del(txn->mdb, txn->view->tables[table], &k, NULL);
    if (rc != MDB_NOTFOUND)
        txn->touched = true;
    return view_error(rc);
}

uint64_t txn_count(struct txn *txn, enum table table)
{
    MDB_stat stat;
    return mdb_stat(txn->mdb, txn->view->tables[table], &stat) == 0 ? stat.ms_entries : 0;
}

int txn_cursor(struct txn *txn, enum table table, MDB_cursor **out)
{
    if (!txn->live[table]) {
        int rc = txn->cursors[table] != NULL
                     ? mdb_cursor_renew(txn->mdb, txn->cursors[table])
                     : mdb_cursor_open(txn->mdb, txn->view->tables[table], &txn->cursors[table]);
        if (rc != 0)
            return view_error(rc);
        txn->live[table] = true;
    }
    *out = txn->cursors[table];
    return 0;
}

int txn_seek(struct txn *txn, enum table table, MDB_cursor_op op, struct span *key, struct span *value)
{
    MDB_cursor *cursor = NULL;
    int rc = txn_cursor(txn, table, &cursor);
    if (rc != 0)
        return rc;
    MDB_val k = val(*key), v;
    if ((rc = mdb_cursor_get(cursor, &k, &v, op)) != 0)
        return view_error(rc);
    *key = span_of(k.mv_data, k.mv_size);
    *value = span_of(v.mv_data, v.mv_size);
    return 0;
}
