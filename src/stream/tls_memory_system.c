#include "stream/tls_memory.h"

bool
tls_memory_use_shelves(void)
{
	return false;
}
