/* SPDX-License-Identifier: MIT */
/*
 * A recorder for the tests of the traced side: it keeps the contract of the
 * segment (HELLO, asks, events, slots) and writes down what it hears, one line
 * each.  It reads no process and stores nothing.  It can be told to misbehave
 * at a point of its life: to die, to stop, to be late, to refuse.
 *
 *   fakerec [-l LOG] [-H HOLD_MS] [-d DELAY_MS] [-k POINT:N] [-s POINT:N] [-r] CMD...
 *
 *   -d  every answer comes that late            -r  refuse every HELLO
 *   -k  kill -9 itself at the Nth POINT         -s  stop itself at the Nth POINT
 *   POINT: hello, take (an ask is taken, not answered), done (answered), event
 *   -u  hand out a userfaultfd: arm all, serve all writes, ask for stacks
 *   -U  the same, but without the device: what an image says then
 *   -p  do not preload, only record (for comparison of costs)
 *
 * It runs in a child of its own; the exit status is the command's.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "channel/filters.h"
#include "channel/hello.h"
#include "channel/ring.h"
#include "channel/slot.h"
#include "engine.h"

enum { AT_NEVER, AT_HELLO, AT_TAKE, AT_DONE, AT_EVENT };

struct fault {
	int point;
	long nr;
	int signal;
};

static struct {
	struct ct_segment *seg;
	int memfd, sock;
	int device; /* the engine's, or -1 */
	bool engine;
	FILE *log;
	u64 delay_ns;
	bool refuse;
	struct fault fault[2];
	char address[64];
	char token[CT_TOKEN_LEN + 1];
	struct ct_ring_reader reader;
} rec;

static void die(const char *what)
{
	fprintf(stderr, "fakerec: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* The chosen point is reached: die or stop, now. */
static void passing(int point)
{
	u32 i;

	for (i = 0; i < 2; i++)
		if (rec.fault[i].point == point && --rec.fault[i].nr == 0) {
			fflush(rec.log);
			kill(getpid(), rec.fault[i].signal);
		}
}

static void segment_make(u64 hold_ns)
{
	struct ct_segment *seg;

	rec.memfd = memfd_create("cowtrace", MFD_CLOEXEC);
	if (rec.memfd < 0 || ftruncate(rec.memfd, sizeof(*seg)))
		die("memfd");
	seg = mmap(NULL, sizeof(*seg), PROT_READ | PROT_WRITE, MAP_SHARED, rec.memfd, 0);
	if (seg == MAP_FAILED)
		die("mmap");
	seg->magic = CT_SEG_MAGIC;
	seg->version = CT_SEG_VERSION;
	seg->size = sizeof(*seg);
	seg->start_ns = ct_now_ns();
	seg->hold_ns = hold_ns;
	/* Whatever can be lost is looked at. */
	atomic_store(&seg->thp_always, 1);
	atomic_store(&seg->heartbeat_ns, ct_now_ns());
	atomic_store(&seg->state, CT_SEG_ON);
	rec.seg = seg;
}

static void socket_make(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	u8 token[CT_TOKEN_LEN / 2];
	u32 i;

	if (getrandom(token, sizeof(token), 0) != sizeof(token))
		die("getrandom");
	for (i = 0; i < sizeof(token); i++)
		sprintf(rec.token + 2 * i, "%02x", token[i]);
	snprintf(rec.address, sizeof(rec.address), "cowtrace-fake-%d", getpid());
	strcpy(sun.sun_path + 1, rec.address);
	rec.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (rec.sock < 0 ||
	    bind(rec.sock, (struct sockaddr *)&sun,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(rec.address))) ||
	    listen(rec.sock, 128))
		die("socket");
}

static void send_welcome(int conn, struct ct_welcome *welcome)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	const int fds[2] = { rec.memfd, rec.device };
	const size_t len = (rec.device < 0 ? 1 : 2) * sizeof(int);
	struct iovec iov = { welcome, sizeof(*welcome) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (!welcome->status) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(len);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(len);
		memcpy(CMSG_DATA(cmsg), fds, len);
	}
	sendmsg(conn, &msg, MSG_NOSIGNAL);
}

static void serve_hello(void)
{
	struct ct_welcome welcome = { .status = rec.refuse ? -EPERM : 0,
				      .seg_size = sizeof(*rec.seg) };
	ct_auto_fd int conn = accept4(rec.sock, NULL, NULL, SOCK_CLOEXEC);
	struct ct_hello hello;
	int slot;

	passing(AT_HELLO);
	if (conn < 0 || recv(conn, &hello, sizeof(hello), 0) != sizeof(hello))
		return;
	if (hello.magic != CT_HELLO_MAGIC || memcmp(hello.token, rec.token, CT_TOKEN_LEN))
		welcome.status = -EPERM;
	if (!welcome.status) {
		slot = ct_slot_claim(rec.seg, CT_HOW_HELLO, CT_SEG_SLOTS);
		if (slot < 0)
			welcome.status = slot;
		welcome.slot = (u32)slot;
	}
	fprintf(rec.log, "hello pid=%d slot=%u own=%" PRIu64 "\n", hello.pid, welcome.slot,
		(hello.own[0][1] - hello.own[0][0]) >> CT_PAGE_SHIFT);
	send_welcome(conn, &welcome);
	if (rec.engine && !welcome.status)
		engine_welcome(conn, hello.pid);
}

static void serve_ask(u32 idx)
{
	static const char *const names[] = { "none", "birth", "exit", "exec", "arm" };
	struct ct_slot *slot = &rec.seg->slots[idx];
	u32 kind = ct_ask_take(rec.seg, idx);
	struct timespec ts = { .tv_sec = (time_t)(rec.delay_ns / CT_NSEC_PER_SEC),
			       .tv_nsec = (long)(rec.delay_ns % CT_NSEC_PER_SEC) };
	s32 parent = slot->parent_slot < CT_SEG_SLOTS ? rec.seg->slots[slot->parent_slot].pid : 0;
	bool waited;

	if (kind == CT_ASK_NONE) {
		fprintf(rec.log, "withdrawn pid=%d flags=%u\n", slot->pid, slot->flags);
		return;
	}
	passing(AT_TAKE);
	if (rec.delay_ns)
		nanosleep(&ts, NULL);
	if (kind == CT_ASK_ARM)
		engine_arm(slot->pid);
	flockfile(rec.log); /* the engine's thread writes lines as well */
	fprintf(rec.log,
		"%s pid=%d parent=%d how=%u tid=%d phase=%s now=%s pcs=%u window_ns=%" PRIu64
		" prepare_ns=%u",
		names[kind], slot->pid, parent, slot->how, slot->tid,
		rec.seg->phases[slot->phase % 64], rec.seg->phases[slot->phase_now % 64],
		slot->nr_pcs, slot->born_ns - slot->clone_ns, slot->prepare_ns);
	if (kind == CT_ASK_EXEC)
		fprintf(rec.log, " path=%s", slot->exec_path);
	waited = ct_ask_done(rec.seg, idx);
	fprintf(rec.log, " waited=%d\n", waited);
	funlockfile(rec.log);
	passing(AT_DONE);
}

static void drain(u64 now_ns)
{
	static const char *const types[] = {
		"none",	    "map",	"unmap",   "remap",  "advise", "protect",  "lock",  "bind",
		"brk",	    "vma_name", "prctl",   "thread", "tag",    "untag",	   "phase", "fork",
		"execfail", "spawn",	"modules", "reaped", "loss",   "thp_lost",
	};
	_Static_assert(ct_array_size(types) == CT_EV_NR, "a name for each");
	struct ct_event ev;
	u32 i;

	while (ct_ring_next(rec.seg, &rec.reader, now_ns, &ev)) {
		flockfile(rec.log);
		fprintf(rec.log,
			"event %s pid=%d tid=%u addr=%#" PRIx64 " len=%#" PRIx64 " arg=%" PRId64
			" arg2=%" PRId64 " arg3=%" PRId64 " dur_ns=%u pcs=%u name=%s site=",
			types[ev.type], rec.seg->slots[ev.slot].pid, ev.tid, ev.addr, ev.len,
			ev.arg, ev.arg2, ev.arg3, ev.dur_ns, ev.nr_pcs,
			ct_event_has_name(ev.type) ? ev.name : "");
		for (i = 0; i < ev.nr_pcs; i++)
			fprintf(rec.log, "%s%#" PRIx64, i ? "," : "", ev.pcs[i]);
		fputc('\n', rec.log);
		funlockfile(rec.log);
		passing(AT_EVENT);
	}
}

/* Slots of processes that have gone. */
static void reap_slots(void)
{
	u32 i;

	for (i = 0; i < CT_SEG_SLOTS; i++) {
		struct ct_slot *slot = &rec.seg->slots[i];

		if (atomic_load(&slot->state) == CT_SLOT_LIVE && slot->pid && kill(slot->pid, 0) &&
		    errno == ESRCH) {
			fprintf(rec.log, "gone pid=%d begun=%u done=%u exiting=%d\n", slot->pid,
				slot->forks_begun, slot->forks_done,
				!!(slot->flags & CT_SLOT_EXITING));
			ct_slot_free(rec.seg, i);
		}
	}
}

static void log_end(void)
{
	u32 i, live = 0, claimed = 0;

	for (i = 0; i < CT_SEG_SLOTS; i++) {
		live += rec.seg->slots[i].state == CT_SLOT_LIVE;
		claimed += rec.seg->slots[i].state == CT_SLOT_CLAIMED;
		if (rec.seg->slots[i].state != CT_SLOT_FREE)
			fprintf(rec.log, "left slot=%u state=%u how=%u pid=%d ret=%d parent=%u\n",
				i, rec.seg->slots[i].state, rec.seg->slots[i].how,
				rec.seg->slots[i].pid, rec.seg->slots[i].parent_ret,
				rec.seg->slots[i].parent_slot);
	}
	fprintf(rec.log,
		"end dropped=%" PRIu64 " torn=%" PRIu64 " skipped=%" PRIu64 " live=%u claimed=%u\n",
		rec.seg->dropped, rec.reader.torn, rec.reader.skipped, live, claimed);
	fflush(rec.log);
}

static volatile sig_atomic_t ending;

static void on_term(int sig)
{
	ending = 1;
}

static void serve(void)
{
	struct pollfd pfd = { .fd = rec.sock, .events = POLLIN };
	u64 reaped_ns = 0;
	u32 i;
	int idx;

	while (!ending) {
		u64 now = ct_now_ns();

		atomic_store(&rec.seg->heartbeat_ns, now);
		while ((idx = ct_ask_next(rec.seg)) >= 0)
			serve_ask((u32)idx);
		drain(now);
		if (rec.engine)
			engine_gather(false);
		if (poll(&pfd, 1, 0) > 0)
			serve_hello();
		if (now - reaped_ns > 20 * CT_NSEC_PER_MSEC) {
			reap_slots();
			reaped_ns = now;
		}
		ct_bell_wait(rec.seg, CT_NSEC_PER_MSEC / 2);
	}
	/* Who died while writing has left a hole: no patience with it now. */
	for (i = 0; i < 16; i++)
		drain(ct_now_ns() + i * CT_RING_STUCK_NS);
	reap_slots();
	if (rec.engine)
		engine_gather(true);
	log_end();
}

static void fault_set(struct fault *fault, const char *text, int sig)
{
	static const char *const names[] = { "never", "hello", "take", "done", "event" };
	const char *colon = strchr(text, ':');
	int i;

	for (i = 1; i < 5; i++)
		if (colon && !strncmp(text, names[i], (size_t)(colon - text)))
			fault->point = i;
	fault->nr = colon ? atol(colon + 1) : 0;
	fault->signal = sig;
	if (!fault->point || fault->nr < 1) {
		fprintf(stderr, "fakerec: bad point: %s\n", text);
		exit(125);
	}
}

static pid_t start_command(char **argv, bool preload)
{
	pid_t pid = fork();
	char env[256];

	if (pid)
		return pid;
	snprintf(env, sizeof(env), "%s:%s:%u", rec.address, rec.token, ct_filters_count());
	setenv(CT_ENV_RECORDER, env, 1);
	if (preload)
		setenv("LD_PRELOAD", getenv("COWTRACE_PRELOAD"), 1);
	unsetenv("COWTRACE_PRELOAD");
	execvp(argv[0], argv);
	_exit(127);
}

int main(int argc, char **argv)
{
	u64 hold_ms = 2000;
	bool preload = true, device = false;
	pid_t recorder, command;
	int opt, status;

	rec.log = stderr;
	while ((opt = getopt(argc, argv, "+l:H:d:k:s:rpuU")) != -1) {
		if (opt == 'l')
			rec.log = fopen(optarg, "we");
		else if (opt == 'H')
			hold_ms = (u64)atol(optarg);
		else if (opt == 'd')
			rec.delay_ns = (u64)atol(optarg) * CT_NSEC_PER_MSEC;
		else if (opt == 'k')
			fault_set(&rec.fault[0], optarg, SIGKILL);
		else if (opt == 's')
			fault_set(&rec.fault[1], optarg, SIGSTOP);
		else if (opt == 'r')
			rec.refuse = true;
		else if (opt == 'u' || opt == 'U')
			rec.engine = true, device |= opt == 'u';
		else if (opt == 'p')
			preload = false;
		else
			return 125;
	}
	if (!rec.log || !argv[optind] || !getenv("COWTRACE_PRELOAD"))
		die("usage: COWTRACE_PRELOAD=LIB fakerec [OPTIONS] CMD");
	segment_make(hold_ms * CT_NSEC_PER_MSEC);
	socket_make();
	rec.device = -1;
	recorder = fork();
	if (!recorder) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, on_term);
		if (rec.engine)
			rec.device = engine_start(rec.seg, rec.log, device);
		serve();
		_exit(0);
	}
	close(rec.sock);
	command = start_command(argv + optind, preload);
	if (waitpid(command, &status, 0) != command)
		die("waitpid");
	usleep(30000); /* orphans of the command, and the last events */
	kill(recorder, SIGTERM);
	if (rec.fault[1].point)
		kill(recorder, SIGKILL);
	waitpid(recorder, NULL, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
