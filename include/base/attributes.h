#ifndef CACHETUNNEL_BASE_ATTRIBUTES_H
#define CACHETUNNEL_BASE_ATTRIBUTES_H

/*
 * What the compiler can check for us, under readable names. Both compilers that build this
 * project know these attributes.
 */

#define ATTR_PRINTF(format_index, first_argument) \
	__attribute__((format(printf, format_index, first_argument)))
#define ATTR_MUST_CHECK __attribute__((warn_unused_result))
#define ATTR_UNUSED __attribute__((unused))

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#endif
