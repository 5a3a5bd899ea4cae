#include "syscall_filter.h"

bool
syscall_filter_start(struct err *err)
{
	return err_set(err, "built without libseccomp");
}

const char *
syscall_filter_description(void)
{
	return "built without libseccomp";
}
