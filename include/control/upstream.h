#ifndef CACHETUNNEL_CONTROL_UPSTREAM_H
#define CACHETUNNEL_CONTROL_UPSTREAM_H

/*
 * A look at each service's endpoint, as a client would have it: the way there (dialer), and a PING.
 * What it finds goes into the service's health, like what tunnels find. Each service is looked at by
 * one worker, the one that has its bastion where there is one.
 */

struct inquiry;
struct worker;

/* For surveys: in the worker's thread, has the inquiry answered once its services have been looked
 * at; at once, by what is known, while an earlier look still goes on. */
void upstream_begin(struct inquiry *inquiry, struct worker *worker);

#endif
