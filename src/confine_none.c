#include "confine.h"

#include "base/attributes.h"

#include <stdio.h>

bool
confine_start(int sandbox, const struct reach *reach ATTR_UNUSED,
	      struct confinement *ret_confinement, struct err *err)
{
	static const char why[] = "this build has no sandbox (it needs Linux, and no sanitizers)";

	*ret_confinement = (struct confinement){0};
	if (sandbox == SANDBOX_REQUIRE)
		return err_set(err, "sandbox = require: %s", why);
	if (sandbox != SANDBOX_NO)
		(void)snprintf(ret_confinement->missing, sizeof ret_confinement->missing, "%s",
			       why);
	return true;
}
