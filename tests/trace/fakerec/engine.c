/* SPDX-License-Identifier: MIT */
/*
 * Serves userfaultfds: one thread, all processes.  For each fault it says who
 * and where, whether a stack was asked for, or why not.
 *
 * It is no model of exactness: what is written between arming and the clone is
 * not seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "channel/hello.h"
#include "channel/slot.h"
#include "channel/stacks.h"
#include "channel/threads.h"
#include "engine.h"
#include "sys/maps.h"
#include "sys/uffd.h"

#define IMAGES_MAX 64u
#define ASKED_MAX 65536u

struct image {
	int fd;
	s32 pid; /* 0: forked, and not heard of yet */
	u64 own[2];
};

struct asked {
	u64 ticket, addr;
	s32 pid, tid;
};

static struct {
	struct ct_segment *seg;
	FILE *log;
	int device;
	pthread_mutex_t lock;
	struct image images[IMAGES_MAX];
	u32 nr_images;
	struct asked asked[ASKED_MAX];
	u32 nr_asked;
	u64 next_ticket;
} engine = { .lock = PTHREAD_MUTEX_INITIALIZER, .next_ticket = 1 };

/* A closed image's place is taken again: descriptors are numbers of the list. */
static void image_add(int fd, s32 pid, const u64 own[2])
{
	struct image *image = NULL;
	u32 i;

	for (i = 0; i < engine.nr_images; i++)
		if (engine.images[i].fd < 0)
			image = &engine.images[i];
	if (!image && engine.nr_images < IMAGES_MAX)
		image = &engine.images[engine.nr_images++];
	if (!image) {
		close(fd);
		return;
	}
	*image = (struct image){ fd, pid, { own[0], own[1] } };
}

static void image_close(struct image *image)
{
	close(image->fd);
	image->fd = -1;
}

void engine_welcome(int conn, s32 pid)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct ct_uffd_msg said = { 0 };
	struct iovec iov = { &said, sizeof(said) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cmsg;
	int fd = -1, ret;
	u64 missing;
	u32 i;

	if (recvmsg(conn, &msg, MSG_CMSG_CLOEXEC) != sizeof(said) || said.magic != CT_UFFD_MAGIC) {
		fprintf(engine.log, "uffd pid=%d status=nothing\n", pid);
		return;
	}
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	ret = fd < 0 ? -EBADF : ct_uffd_api(fd, &missing);
	fprintf(engine.log, "uffd pid=%d status=%d api=%d own=%" PRIu64 "\n", pid, said.status, ret,
		(said.own[1] - said.own[0]) >> CT_PAGE_SHIFT);
	if (ret)
		return;
	pthread_mutex_lock(&engine.lock);
	for (i = 0; i < engine.nr_images; i++)
		if (engine.images[i].fd >= 0 && engine.images[i].pid == pid)
			image_close(&engine.images[i]); /* the image before its exec */
	image_add(fd, pid, said.own);
	pthread_mutex_unlock(&engine.lock);
}

static bool to_protect(const struct image *image, const struct ct_vma *vma)
{
	return !vma->shared && !vma->ino && strncmp(vma->name, "[v", 2) && vma->w &&
	       !(vma->start < image->own[1] && image->own[0] < vma->end);
}

static int protect(int fd, u64 start, u64 len)
{
	int ret = 0, i;

	for (i = 0; i < 1000; i++) {
		ret = ct_uffd_protect(fd, start, len);
		if (ret != -EAGAIN)
			return ret;
		usleep(50); /* the engine's thread reads the event meanwhile */
	}
	return ret;
}

void engine_arm(s32 pid)
{
	struct image image = { .fd = -1 };
	struct ct_maps maps = { 0 };
	u32 i, nr = 0;
	size_t v;

	pthread_mutex_lock(&engine.lock);
	for (i = 0; i < engine.nr_images; i++)
		if (engine.images[i].fd >= 0 && engine.images[i].pid == pid)
			image = engine.images[i];
	pthread_mutex_unlock(&engine.lock);
	if (image.fd >= 0 && !ct_maps_load(pid, &maps))
		for (v = 0; v < maps.nr; v++) {
			const struct ct_vma *vma = &maps.vmas[v];

			if (to_protect(&image, vma) &&
			    !ct_uffd_register_wp(image.fd, vma->start, vma->end - vma->start))
				nr += !protect(image.fd, vma->start, vma->end - vma->start);
		}
	ct_maps_fini(&maps);
	fprintf(engine.log, "armed pid=%d vmas=%u\n", pid, nr);
}

/* Where the thread stands: -1 in the kernel, 0 in its own code, or -errno. */
static int thread_where(s32 pid, s32 tid, u64 *ret_pc, u64 *ret_sp)
{
	char path[64], text[256];
	ct_auto_fd int fd = -1;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (len <= 0)
		return -ESRCH;
	text[len] = '\0';
	return sscanf(text, "-1 %" SCNx64 " %" SCNx64, ret_sp, ret_pc) == 2 ? 0 : -1;
}

/* The process of a thread, by /proc: the child of a fork is not known before. */
static s32 process_of(s32 tid)
{
	char path[64], line[128];
	FILE *status;
	s32 pid = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	status = fopen(path, "re");
	while (status && !pid && fgets(line, sizeof(line), status))
		sscanf(line, "Tgid: %d", &pid);
	if (status)
		fclose(status);
	return pid;
}

static const char *const no_stacks[] = { "yes", "not_yet", "taken", "quiet", "exec" };

/* Why this thread is not asked, or NULL. */
static const char *why_not(s32 pid, s32 tid, u64 sp, struct ct_slot **ret_slot)
{
	int idx = ct_slot_of_pid(engine.seg, pid);
	u32 why;

	if (idx < 0)
		return "untraced";
	*ret_slot = &engine.seg->slots[idx];
	why = atomic_load(&(*ret_slot)->no_stacks);
	if (why)
		return no_stacks[ct_min(why, 4U)];
	return ct_thread_ready_at(engine.seg, (u32)idx, tid, sp) ? NULL : "thread";
}

static void send_ask(s32 pid, s32 tid, u32 signal, u64 ticket)
{
	siginfo_t info = { .si_signo = (int)signal, .si_code = CT_STACK_SI_CODE };

	info.si_pid = getpid();
	info.si_value.sival_ptr = (void *)ticket;
	syscall(SYS_rt_tgsigqueueinfo, pid, tid, signal, &info);
}

/* False: the process is forking, try again later. */
static bool serve_fault(struct image *image, u64 addr, s32 tid)
{
	const u64 page = ct_page_down(addr);
	struct ct_slot *slot = NULL;
	u64 pc = 0, sp = 0, ticket = 0;
	s32 pid = process_of(tid);
	const char *why;
	int where;

	if (!image->pid)
		image->pid = pid;
	where = thread_where(pid, tid, &pc, &sp);
	why = pid != image->pid ? "vfork" : where ? "kernel" : why_not(pid, tid, sp, &slot);
	if (!why && ct_stack_ask(engine.seg, &engine.next_ticket, pc, sp, &ticket))
		why = "full";
	if (ct_uffd_unprotect(image->fd, page, CT_PAGE_SIZE, why != NULL) == -EAGAIN) {
		if (!why)
			ct_stack_drop(engine.seg, ticket);
		return false;
	}
	fprintf(engine.log,
		"fault pid=%d tid=%d addr=%#" PRIx64 " pc=%#" PRIx64 " asked=%s ticket=%" PRIu64
		"\n",
		pid, tid, addr, pc, why ? why : "yes", ticket);
	if (why)
		return true;
	pthread_mutex_lock(&engine.lock);
	if (engine.nr_asked < ASKED_MAX)
		engine.asked[engine.nr_asked++] = (struct asked){ ticket, addr, pid, tid };
	pthread_mutex_unlock(&engine.lock);
	send_ask(pid, tid, slot->stack_signal, ticket);
	ct_uffd_wake(image->fd, page, CT_PAGE_SIZE);
	return true;
}

static void serve_message(struct image *image, const struct uffd_msg *msg)
{
	if (msg->event == UFFD_EVENT_FORK) {
		pthread_mutex_lock(&engine.lock);
		image_add((int)msg->arg.fork.ufd, 0, image->own);
		pthread_mutex_unlock(&engine.lock);
	} else if (msg->event == UFFD_EVENT_PAGEFAULT) {
		const u64 addr = msg->arg.pagefault.address;
		const s32 tid = (s32)msg->arg.pagefault.feat.ptid;

		while (!serve_fault(image, addr, tid)) {
			struct uffd_msg event;

			/* It forks: nothing can be lifted before its event is read. */
			if (ct_uffd_read(image->fd, &event, 1) == 1)
				serve_message(image, &event);
		}
	}
}

static void *serve(void *unused)
{
	struct pollfd fds[IMAGES_MAX];
	struct uffd_msg msgs[16];
	u32 i, nr;
	int n, m;

	for (;;) {
		pthread_mutex_lock(&engine.lock);
		nr = engine.nr_images;
		for (i = 0; i < nr; i++)
			fds[i] = (struct pollfd){ .fd = engine.images[i].fd, .events = POLLIN };
		pthread_mutex_unlock(&engine.lock);
		poll(fds, nr, 2);
		for (i = 0; i < nr; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			n = ct_uffd_read(fds[i].fd, msgs, ct_array_size(msgs));
			for (m = 0; m < n; m++)
				serve_message(&engine.images[i], &msgs[m]);
			if (n < 0 && n != -EAGAIN) {
				pthread_mutex_lock(&engine.lock);
				image_close(&engine.images[i]);
				pthread_mutex_unlock(&engine.lock);
			}
		}
	}
	return NULL;
}

/* False: no answer yet. */
static bool gather_one(const struct asked *asked, bool end)
{
	u64 pcs[CT_STACK_PCS];
	enum ct_stack_answer answer;
	u32 nr = 0, i;

	answer = ct_stack_collect(engine.seg, asked->ticket, pcs, &nr);
	if (answer == CT_STACK_PENDING && !end)
		return false;
	flockfile(engine.log);
	fprintf(engine.log,
		"stack pid=%d tid=%d addr=%#" PRIx64 " ticket=%" PRIu64 " answer=%s site=",
		asked->pid, asked->tid, asked->addr, asked->ticket,
		answer == CT_STACK_ANSWERED  ? "yes"
		: answer == CT_STACK_PENDING ? "none"
					     : "late");
	for (i = 0; i < nr; i++)
		fprintf(engine.log, "%s%#" PRIx64, i ? "," : "", pcs[i]);
	fputc('\n', engine.log);
	funlockfile(engine.log);
	return true;
}

void engine_gather(bool end)
{
	u32 i, left = 0;

	pthread_mutex_lock(&engine.lock);
	for (i = 0; i < engine.nr_asked; i++)
		if (!gather_one(&engine.asked[i], end))
			engine.asked[left++] = engine.asked[i];
	engine.nr_asked = left;
	pthread_mutex_unlock(&engine.lock);
}

int engine_start(struct ct_segment *seg, FILE *log, bool device)
{
	pthread_t thread;
	int ret;

	engine.seg = seg;
	engine.log = log;
	seg->engine = CT_ENGINE_UFFD;
	if (!device)
		return -ENODEV;
	ret = ct_uffd_open_dev(&engine.device);
	if (ret)
		return ret;
	return pthread_create(&thread, NULL, serve, NULL) ? -EAGAIN : engine.device;
}
