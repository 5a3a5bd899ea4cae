#ifndef CACHETUNNEL_STREAM_TLS_MEMORY_H
#define CACHETUNNEL_STREAM_TLS_MEMORY_H

#include <stdbool.h>

/*
 * Where OpenSSL's memory comes from. For each record it allocates and frees six blocks, always of
 * the same sizes: each thread keeps a few of what it frees, and takes them again. So a request in
 * steady state allocates nothing, and an idle tunnel still owns no record buffer
 * (SSL_MODE_RELEASE_BUFFERS), since the buffers are its thread's.
 *
 * The Makefile chooses: tls_memory_shelves.c, or tls_memory_system.c where sanitizers are to see
 * each block go, and where the system does not tell a block's size.
 */

/* To be called once, before anything else of OpenSSL and while there is one thread. False: OpenSSL
 * has allocated already, and goes on as it began; that costs speed only. */
bool tls_memory_use_shelves(void);

#endif
