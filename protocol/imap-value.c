#include "imap-value.h"
