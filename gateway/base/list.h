/* Intrusive doubly linked lists with a head node; an empty head points to itself. */
#ifndef ARCA_BASE_LIST_H
#define ARCA_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))
#define LIST_EACH(node, head)          for (struct list *node = (head)->next; node != (head); node = node->next)
/* The present node may be removed in the body. */
#define LIST_EACH_SAFE(node, head)                                                                                    \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);                                \
         node = node##_next, node##_next = node->next)

static inline void list_init(struct list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, taken out, or NULL. */
static inline struct list *list_shift(struct list *head)
{
    struct list *node = head->next;
    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

#endif
