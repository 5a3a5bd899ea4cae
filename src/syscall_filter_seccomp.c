#define _GNU_SOURCE /* CLONE_THREAD */

#include "syscall_filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * What is not allowed fails with ENOSYS, as on a kernel that does not have it: C libraries then
 * take the older way, so that a newer one does not break what an older list allows. Nothing is
 * killed: a call that we forgot costs what it was for, and not every tunnel.
 */

/* Calls that are free, by what they are for. Names that this kernel or library does not know are
 * passed over. */
static const char *const allowed[] = {
	/* descriptors and events */
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"preadv",
	"pwritev",
	"preadv2",
	"pwritev2",
	"close",
	"close_range",
	"lseek",
	"_llseek",
	"dup",
	"dup2",
	"dup3",
	"pipe",
	"pipe2",
	"fcntl",
	"fcntl64",
	"poll",
	"ppoll",
	"ppoll_time64",
	"select",
	"_newselect",
	"pselect6",
	"pselect6_time64",
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"eventfd",
	"eventfd2",
	"signalfd",
	"signalfd4",
	"timerfd_create",
	"timerfd_settime",
	"timerfd_settime64",
	"timerfd_gettime",
	"timerfd_gettime64",
	"splice",
	"tee",
	"sendfile",
	"sendfile64",
	"fsync",
	"fdatasync",
	"ftruncate",
	"ftruncate64",
	"flock",
	"fadvise64",
	"fadvise64_64",
	"arm_fadvise64_64",
	/* files; which ones is for Landlock to say */
	"open",
	"openat",
	"creat",
	"stat",
	"lstat",
	"fstat",
	"newfstatat",
	"stat64",
	"lstat64",
	"fstat64",
	"fstatat64",
	"statx",
	"statfs",
	"statfs64",
	"fstatfs",
	"fstatfs64",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getdents",
	"getdents64",
	"getcwd",
	"unlink",
	"unlinkat",
	"rename",
	"renameat",
	"renameat2",
	"mkdir",
	"mkdirat",
	"chmod",
	"fchmod",
	"fchmodat",
	"fchmodat2",
	"chown",
	"chown32",
	"fchown",
	"fchown32",
	"lchown",
	"lchown32",
	"fchownat",
	"umask",
	"inotify_init",
	"inotify_init1",
	"inotify_add_watch",
	"inotify_rm_watch",
	/* the network; which kinds of socket, see below */
	"socketpair",
	"bind",
	"connect",
	"listen",
	"accept",
	"accept4",
	"getsockname",
	"getpeername",
	"getsockopt",
	"setsockopt",
	"send",
	"sendto",
	"sendmsg",
	"sendmmsg",
	"recv",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	"recvmmsg_time64",
	"shutdown",
	/* memory */
	"brk",
	"munmap",
	"mremap",
	"madvise",
	"mlock",
	"mlock2",
	"munlock",
	"membarrier",
	/* threads, time and signals */
	"exit",
	"exit_group",
	"futex",
	"futex_time64",
	"futex_waitv",
	"futex_wait",
	"futex_wake",
	"futex_requeue",
	"set_robust_list",
	"get_robust_list",
	"rseq",
	"set_tid_address",
	"gettid",
	"getpid",
	"getppid",
	"sched_yield",
	"sched_getaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"nanosleep",
	"clock_nanosleep",
	"clock_nanosleep_time64",
	"clock_gettime",
	"clock_gettime64",
	"clock_getres",
	"clock_getres_time64",
	"gettimeofday",
	"time",
	"times",
	"restart_syscall",
	"arch_prctl",
	"set_thread_area",
	"rt_sigaction",
	"sigaction",
	"rt_sigprocmask",
	"sigprocmask",
	"rt_sigreturn",
	"sigreturn",
	"rt_sigpending",
	"rt_sigtimedwait",
	"rt_sigtimedwait_time64",
	"sigaltstack",
	"getitimer",
	"setitimer",
	/* about ourselves and the system */
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getresuid",
	"getresgid",
	"getgroups",
	"getuid32",
	"geteuid32",
	"getgid32",
	"getegid32",
	"getresuid32",
	"getresgid32",
	"getgroups32",
	"getrlimit",
	"ugetrlimit",
	"getrusage",
	"getpgrp",
	"getsid",
	"getpgid",
	"sysinfo",
	"uname",
	"getrandom",
	"getcpu",
	"wait4",
	"waitid",
};

/* Netlink is how the C library and c-ares learn of this machine's addresses. */
static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

enum { TIOCSTI_ANYWHERE = 0x5412, PR_SET_VMA_NAME = 0x53564d41 };

static int
allow(scmp_filter_ctx filter, const char *name, unsigned count, const struct scmp_arg_cmp *compared)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, compared);
}

static int
allow_if(scmp_filter_ctx filter, const char *name, struct scmp_arg_cmp compared)
{
	return allow(filter, name, 1, &compared);
}

/* No memory that can be written is run, and none becomes so later. */
static int
allow_memory(scmp_filter_ctx filter)
{
	static const char *const maps[] = {"mmap", "mmap2"};
	int error = 0;

	for (unsigned i = 0; i < 2; i++) {
		error |= allow_if(filter, maps[i],
				  (struct scmp_arg_cmp)SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
		error |= allow_if(filter, maps[i],
				  (struct scmp_arg_cmp)SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE, 0));
	}
	return error | allow_if(filter, "mprotect",
				(struct scmp_arg_cmp)SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* Threads, but no processes. The flags of clone3() are out of a filter's sight, so it stays
 * forbidden, and the C library falls back on clone(). Its first argument has the flags, on s390
 * the second. */
static int
allow_threads(scmp_filter_ctx filter)
{
	uint32_t native = seccomp_arch_native();
	bool is_second = native == SCMP_ARCH_S390X || native == SCMP_ARCH_S390;

	return allow_if(filter, "clone",
			(struct scmp_arg_cmp)SCMP_CMP(is_second ? 1 : 0, SCMP_CMP_MASKED_EQ,
						      CLONE_THREAD, CLONE_THREAD));
}

/* Signals to ourselves, as abort() sends them. */
static int
allow_signals(scmp_filter_ctx filter)
{
	const uint64_t self = (uint64_t)getpid();

	return allow_if(filter, "kill", (struct scmp_arg_cmp)SCMP_A0(SCMP_CMP_EQ, self, 0)) |
	       allow_if(filter, "tgkill", (struct scmp_arg_cmp)SCMP_A0(SCMP_CMP_EQ, self, 0));
}

static int
allow_calls(scmp_filter_ctx filter)
{
	int error = 0;

	for (unsigned i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
		error |= allow(filter, allowed[i], 0, NULL);
	for (unsigned i = 0; i < sizeof families / sizeof families[0]; i++)
		error |= allow_if(
			filter, "socket",
			(struct scmp_arg_cmp)SCMP_A0(SCMP_CMP_EQ, (uint64_t)families[i], 0));
	/* Not the one that types into a terminal. */
	error |= allow_if(filter, "ioctl",
			  (struct scmp_arg_cmp)SCMP_A1_32(SCMP_CMP_NE, TIOCSTI_ANYWHERE, 0));
	error |= allow_if(filter, "prctl",
			  (struct scmp_arg_cmp)SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
	error |= allow_if(filter, "prctl",
			  (struct scmp_arg_cmp)SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA_NAME, 0));
	/* Limits are read, and of ourselves only. */
	const struct scmp_arg_cmp own_limits[] = {SCMP_A0(SCMP_CMP_EQ, 0, 0),
						  SCMP_A2(SCMP_CMP_EQ, 0, 0)};
	error |= allow(filter, "prlimit64", 2, own_limits);
	return error | allow_memory(filter) | allow_threads(filter) | allow_signals(filter);
}

bool
syscall_filter_start(struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int error = 0;

	if (filter == NULL)
		return err_set(err, "libseccomp cannot make a filter here");
	if (allow_calls(filter) != 0) {
		(void)err_set(err, "libseccomp does not take a rule");
	} else {
		error = seccomp_load(filter);
		if (error == 0) {
			seccomp_release(filter);
			return true;
		}
		(void)err_set_errno(err, -error, "the kernel does not take the filter");
	}
	seccomp_release(filter);
	return false;
}

const char *
syscall_filter_description(void)
{
	return "libseccomp, compiled " CACHETUNNEL_SECCOMP_VERSION;
}
