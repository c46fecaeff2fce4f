/* SPDX-License-Identifier: MIT */
/*
 * The helper thread: reads the messages of writers that met protection, serves
 * them, and so wakes them.
 *
 * After a message it looks again for a while before it sleeps: first writes come in
 * crowds, and waking a thread costs more than serving one.  It yields in between, for
 * the writer may want this very processor.
 *
 * What holds always: it writes to no heap and waits for nobody but those who hold a
 * heap's locks, who never write to one meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>

#include "snapshot/heap.h"

#define MESSAGES 16
#define LOOK_AGAIN_NS 30000

static void serve(struct cowtrace_heap *h, const struct uffd_msg *msgs, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		u64 offset = msgs[i].arg.pagefault.address - (uintptr_t)h->base;

		if (msgs[i].event != UFFD_EVENT_PAGEFAULT || offset >= h->len)
			continue;
		/* Not to be served (unmapped meanwhile): it may go and meet its fate. */
		if (ct_snap_first_write(h, ct_page_of(offset)))
			ct_snap_uffd_wake(h->uffd.fd, ct_snap_page_addr(h, ct_page_of(offset)),
					  CT_PAGE_SIZE);
	}
}

/* Sleeps until there is a message; false: the heap ends. */
static bool sleep_until_asked(struct cowtrace_heap *h)
{
	struct pollfd fds[] = { { h->uffd.fd, POLLIN, 0 }, { h->stop_fd, POLLIN, 0 } };

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	return !fds[1].revents;
}

static void *run(void *arg)
{
	struct cowtrace_heap *h = arg;
	struct uffd_msg msgs[MESSAGES];
	u64 served = 0;

	for (;;) {
		ssize_t len = ct_sys3(SYS_read, h->uffd.fd, msgs, sizeof(msgs));

		if (len > 0) {
			serve(h, msgs, (size_t)len / sizeof(*msgs));
			served = ct_now_ns();
		} else if (served && ct_now_ns() - served < LOOK_AGAIN_NS) {
			sched_yield();
		} else if (!sleep_until_asked(h)) {
			return NULL;
		}
	}
}

int ct_snap_thread_start(struct cowtrace_heap *h)
{
	u64 sig;
	int err;

	h->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (h->stop_fd < 0)
		return -errno;
	/* No handler of the program's is to run in it. */
	sig = ct_snap_signals_block();
	err = pthread_create(&h->thread, NULL, run, h);
	ct_snap_signals_restore(sig);
	if (err)
		return -err;
	h->thread_runs = true;
	pthread_setname_np(h->thread, "cowtrace-heap");
	return 0;
}

void ct_snap_thread_stop(struct cowtrace_heap *h)
{
	if (!h->thread_runs)
		return;
	eventfd_write(h->stop_fd, 1);
	pthread_join(h->thread, NULL);
	h->thread_runs = false;
}
