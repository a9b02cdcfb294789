#include "register.h"

#include <stdlib.h>
#include <string.h>

bool values_have(const struct values *values, uint32_t value)
{
    for (size_t i = 0; i < values->count; i++) {
        if (values->all[i] == value)
            return true;
    }
    return false;
}

bool values_any(const struct values *values)
{
    for (size_t i = 0; i < values->count; i++) {
        if (values->all[i] != ABSENT)
            return true;
    }
    return false;
}

static void add(struct values *values, uint32_t value)
{
    if (values_have(values, value))
        return;
    if (values->count == values->room) {
        values->room = values->room == 0 ? 4 : 2 * values->room;
        values->all = reallocarray(values->all, values->room, sizeof(*values->all));
        if (values->all == NULL)
            abort();
    }
    values->all[values->count++] = value;
}

static void drop(struct values *values, uint32_t value)
{
    for (size_t i = 0; i < values->count; i++) {
        if (values->all[i] == value)
            values->all[i--] = values->all[--values->count];
    }
}

static void add_all(struct values *to, const struct values *from)
{
    for (size_t i = 0; i < from->count; i++)
        add(to, from->all[i]);
}

void reg_init(struct reg *reg)
{
    *reg = (struct reg){0};
    list_init(&reg->running);
    add(&reg->now, ABSENT);
}

void reg_free(struct reg *reg)
{
    free(reg->now.all);
}

void reg_read(struct reg *reg, struct access *access)
{
    *access = (struct access){.reg = reg};
    add_all(&access->seen, &reg->now);
    LIST_EACH(node, &reg->running) {
        const struct access *other = LIST_ENTRY(node, struct access, link);
        if (other->writes)
            add(&access->rivals, other->value);
    }
    list_append(&reg->running, &access->link);
}

void reg_write(struct reg *reg, struct access *access, uint32_t value)
{
    reg_read(reg, access);
    access->writes = true;
    access->value = value;
    LIST_EACH(node, &reg->running) {
        struct access *other = LIST_ENTRY(node, struct access, link);
        if (other == access)
            continue;
        add(&other->seen, value);
        add(&other->rivals, value);
    }
    add(&reg->now, value);
}

static void end(struct access *access)
{
    list_remove(&access->link);
    free(access->seen.all);
    free(access->rivals.all);
}

void reg_told(struct access *access, uint32_t value)
{
    struct values *now = &access->reg->now;
    now->count = 0;
    add(now, value);
    add_all(now, &access->rivals);
    end(access);
}

void reg_unknown(struct access *access)
{
    end(access);
}

/* Others that run may go on counting with the value, which does no harm. */
void reg_refused(struct access *access)
{
    struct values *now = &access->reg->now;
    if (access->writes && !values_have(&access->seen, access->value))
        drop(now, access->value);
    end(access);
}
