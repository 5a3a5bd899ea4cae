#ifndef CACHETUNNEL_BASE_LIST_H
#define CACHETUNNEL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A doubly linked list whose links live inside the elements. The list owns nothing: whoever
 * owns the elements removes and frees them. (<sys/queue.h> would do, but musl has none.)
 */

struct list {
	struct list *next;
	struct list *previous;
};

/* The structure of type `type` whose member `member` is at `link`. */
#define LIST_ITEM(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Makes an empty list, or a link that is in no list. */
static inline void
list_init(struct list *list)
{
	list->next = list;
	list->previous = list;
}

static inline bool
list_is_empty(const struct list *list)
{
	return list->next == list;
}

static inline void
list_append(struct list *list, struct list *link)
{
	link->previous = list->previous;
	link->next = list;
	list->previous->next = link;
	list->previous = link;
}

static inline void
list_prepend(struct list *list, struct list *link)
{
	list_append(list->next, link);
}

/* Takes the link out of whatever list it is in; harmless if it is in none. */
static inline void
list_remove(struct list *link)
{
	link->previous->next = link->next;
	link->next->previous = link->previous;
	list_init(link);
}

#endif
