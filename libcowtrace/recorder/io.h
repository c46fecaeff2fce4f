/* SPDX-License-Identifier: MIT */
/*
 * The recorder's third thread: the socket where images say HELLO, the pidfds of
 * all traced processes, and the word of the supervisor.  It only waits and
 * passes on; the serving thread is woken by the doorbell.
 */
#ifndef CT_RECORDER_IO_H
#define CT_RECORDER_IO_H

#include "channel/hello.h"
#include "channel/segment.h"

struct ct_io;

enum ct_inbox_type {
	CT_IN_HELLO,	     /* fd: answer there, then close it */
	CT_IN_GONE,	     /* id: this process has gone */
	CT_IN_COMMAND_ENDED, /* the command that record started has ended, if it did */
	CT_IN_STOP,	     /* end the recording now */
	CT_IN_NEXT_FILE,     /* go on in another file */
	CT_IN_UFFD,	     /* id: this process has sent its userfaultfd: fd, and uffd */
};

struct ct_inbox_item {
	struct ct_inbox_item *next;
	u64 t_ns; /* CLOCK_MONOTONIC, when it came in */
	enum ct_inbox_type type;
	u32 id;
	int fd;
	s32 pid; /* HELLO: of the sender, in our pid namespace */
	struct ct_hello hello;
	struct ct_uffd_msg uffd;
};

/* Messages on the control socket, one byte each; the supervisor's end of it. */
#define CT_CTL_COMMAND_ENDED 'E'
#define CT_CTL_STOP 'S'
#define CT_CTL_NEXT_FILE 'F'

/*
 * listen_fd: SOCK_SEQPACKET, listening; control_fd: from the supervisor, at
 * whose end of file COMMAND_ENDED is assumed, or where there is no command STOP.
 * Both stay the caller's.  token NULL: whoever may connect may come (hello.h).
 */
int ct_io_create(struct ct_segment *seg, int listen_fd, int control_fd, const char *token,
		 struct ct_io **ret);
void ct_io_destroy(struct ct_io *io);

/* Reports once, as CT_IN_GONE with this id, when the process has gone.  0 or -errno. */
int ct_io_watch(struct ct_io *io, int pidfd, u32 id);
/* No more of it, unless a CT_IN_GONE is on its way already; the pidfd stays open. */
void ct_io_release(struct ct_io *io, int pidfd);
/* The same; closes the pidfd. */
void ct_io_unwatch(struct ct_io *io, int pidfd);

/*
 * This peer was welcomed and sends its userfaultfd next, within HELLO's time limit:
 * reports once, as CT_IN_UFFD with this id; uffd.status says whether it came.  The
 * descriptor is the io's from now on.
 */
void ct_io_expect_uffd(struct ct_io *io, int fd, u32 id);

/* All that has come since the last call, oldest first; the caller frees each. */
struct ct_inbox_item *ct_io_take(struct ct_io *io);

#endif
