#include "imap-command.h"
