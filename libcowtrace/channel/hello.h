/* SPDX-License-Identifier: MIT */
/*
 * The one message that needs a socket: a fresh image says HELLO to the recorder
 * and is given the segment and a slot.  SOCK_SEQPACKET, one exchange, closed at
 * once: nothing stays open in the program.
 *
 * A recorder of one command has an abstract address, so that nothing is left in a
 * file system and a program that changes its root or its user still reaches it; a
 * random token, passed in the environment, keeps other users out.
 *
 * A recorder of many programs listens at a path, whose permissions say who may
 * come; nobody needs to know anything else, so that it may be another recorder
 * each time.  There both look at the other's credentials: the program believes a
 * listener of root or of its own user only, and the recorder takes in whom it sees
 * under the same pid as he himself does.
 */
#ifndef CT_CHANNEL_HELLO_H
#define CT_CHANNEL_HELLO_H

#include "base/base.h"

/*
 * "ADDRESS:TOKEN" or "ADDRESS:TOKEN:FILTERS": abstract socket name without its
 * NUL, 32 hex digits, and the recorder's number of seccomp filters (filters.h;
 * 0 where it is left out).  An image with another number says no HELLO.
 *
 * "/PATH" or "/PATH:any": where a recorder listens.  An image under a seccomp filter
 * says no HELLO, because a socket may be its death, unless ":any" says that it may.
 */
#define CT_ENV_RECORDER "COWTRACE_RECORDER"
#define CT_ENV_ANY_FILTERS ":any"
#define CT_TOKEN_LEN 32

#define CT_HELLO_MAGIC 0x6f6c6c65u
#define CT_HELLO_TIMEOUT_MS 1000

struct ct_hello {
	u32 magic;   /* CT_HELLO_MAGIC */
	u32 version; /* CT_SEG_VERSION */
	s32 pid;     /* getpid() of the sender, in its own pid namespace */
	u32 pad;
	char token[CT_TOKEN_LEN];
	/*
	 * The shim's own writable memory, [start, end): never counted as the
	 * program's.  Unused entries are 0,0.
	 */
	u64 own[4][2];
};

struct ct_welcome {
	s32 status; /* 0, or -errno: then nothing else is valid */
	u32 slot;
	u64 seg_size; /* the memfd comes beside it, SCM_RIGHTS */
};

/*
 * Only where the segment says CT_ENGINE_UFFD: a second descriptor comes beside
 * the welcome, the recorder's own /dev/userfaultfd.  The image makes its
 * userfaultfd from it (USERFAULTFD_IOC_NEW asks no privilege of the caller),
 * sends it back on the same socket beside this message, and closes all three.
 * It waits for no answer; it does not issue UFFDIO_API (the recorder does, whose
 * privilege UFFD_FEATURE_EVENT_FORK needs).
 */
#define CT_UFFD_MAGIC 0x64666675u

struct ct_uffd_msg {
	u32 magic;  /* CT_UFFD_MAGIC */
	s32 status; /* 0: a userfaultfd comes beside; or -errno, and nothing does */
	/* The handler's stacks, [start, end): the shim's own memory as in ct_hello. */
	u64 own[2];
};

#endif
