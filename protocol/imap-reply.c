#include "imap-reply.h"
