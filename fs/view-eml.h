/* view-eml.h: the tree as it is mounted: folders are directories, messages are files. */
#pragma once

#include "fs.h"

#define EML_SUFFIX ".eml"

/* The folder that an inode is in, or is; NULL when there is none (any more). */
Folder *eml_folder(Fs *fs, guint64 inode);
guint64 eml_folder_inode(const Folder *folder);
void eml_folder_attr(Fs *fs, const Folder *folder, struct stat *attr);
/* Those of any regular file of the mount. */
void eml_file_attr(Fs *fs, guint64 inode, guint64 size, gint64 date, struct stat *attr);
/* FALSE: no such message. *timeout: how long the kernel may believe it. */
gboolean eml_message_attr(Fs *fs, Folder *folder, MailUid uid, struct stat *attr, double *timeout);
/* A message's name; out holds NAMES_MAX + 1 bytes. */
void eml_name(Fs *fs, const Message *message, char *out);
/* Appends the path of a folder, or of a message (or NULL) in it, relative to the mount point. */
void eml_append_path(Fs *fs, const Folder *folder, const Message *message, GString *out);
/* What a name is to the message that it stands for. */
typedef enum { EML_PROPER, EML_GIVEN, EML_BARE } EmlName;
/* The visible message that a name stands for, or NULL. A message that was given a number for its
 * name is not found by its own: when 1.eml, 2.eml … are copied, those already there would be in
 * the way of the rest. */
const Message *eml_lookup(Fs *fs, Folder *folder, const char *name, EmlName *kind);
