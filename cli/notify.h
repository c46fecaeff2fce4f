/* SPDX-License-Identifier: MIT */
/* Words to the service manager: sd_notify(3)'s protocol, one datagram each. */
#ifndef CT_CLI_NOTIFY_H
#define CT_CLI_NOTIFY_H

#include "base/base.h"

struct ct_notify {
	int fd;		 /* -1: nobody wants to know */
	u64 watchdog_ns; /* it wants a sign of life this often; 0: none */
	u64 next_ns;	 /* CLOCK_MONOTONIC, of the next one */
};

/* From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.  What makes no sense is as good as none. */
void ct_notify_init(struct ct_notify *n);
/* "READY=1\nSTATUS=..."; never waits, and nobody hears of an error. */
void ct_notify_say(const struct ct_notify *n, const char *text);
/* The sign of life, where one is due; to be called when there is life. */
void ct_notify_alive(struct ct_notify *n, u64 now_ns);

#endif
