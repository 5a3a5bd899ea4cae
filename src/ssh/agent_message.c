#include "ssh/agent_message.h"

#include "base/text.h"

#include <string.h>

enum { COMMENT_LIMIT = 255 };

enum message_kind {
	MESSAGE_FAILURE = 5,
	MESSAGE_REQUEST_IDENTITIES = 11,
	MESSAGE_IDENTITIES_ANSWER = 12,
	MESSAGE_SIGN_REQUEST = 13,
	MESSAGE_SIGN_RESPONSE = 14,
	MESSAGE_FAILURE_SSH2 = 30, /* of agents from before the draft */
	MESSAGE_FAILURE_SSH_COM = 102,
};

void
agent_identities_done(struct agent_identities *identities)
{
	buffer_done(&identities->message);
	identities->count = 0;
}

static bool
put_header(struct buffer *out, size_t length, enum message_kind kind)
{
	unsigned char byte = (unsigned char)kind;

	return wire_append_u32(out, (uint32_t)length) && buffer_append(out, &byte, 1);
}

bool
agent_message_put_list(struct buffer *out, struct err *err)
{
	return put_header(out, 1, MESSAGE_REQUEST_IDENTITIES) ||
	       err_set(err, "no memory for asking the agent");
}

bool
agent_message_put_sign(struct buffer *out, const struct agent_identity *signer,
		       const unsigned char *data, size_t length, unsigned flags, struct err *err)
{
	/* The kind; the key, the data and the flags with four bytes each beside their own. */
	size_t frame = 1 + 4 + signer->length + 4 + 4;

	if (frame > AGENT_MESSAGE_LIMIT || length > AGENT_MESSAGE_LIMIT - frame)
		return err_set(err, "%zu bytes are more than an agent signs", length);
	return (put_header(out, frame + length, MESSAGE_SIGN_REQUEST) &&
		wire_append_string(out, signer->blob, signer->length) &&
		wire_append_string(out, data, length) && wire_append_u32(out, flags)) ||
	       err_set(err, "no memory for asking the agent");
}

/* The content of an answer of this kind; `refusal` is for an agent that does not want to. */
static bool
open_answer(const struct buffer *answer, enum message_kind kind, const char *refusal,
	    struct wire_span *ret, struct err *err)
{
	const unsigned char *message = buffer_head(answer) + AGENT_MESSAGE_HEADER;

	*ret = (struct wire_span){message + 1, buffer_length(answer) - AGENT_MESSAGE_HEADER - 1};
	if (message[0] == kind)
		return true;
	if (message[0] == MESSAGE_FAILURE || message[0] == MESSAGE_FAILURE_SSH2 ||
	    message[0] == MESSAGE_FAILURE_SSH_COM)
		return err_set(err, "%s", refusal);
	return err_set(err, "sent a message of kind %u where %u was asked for; is it an SSH agent?",
		       (unsigned)message[0], (unsigned)kind);
}

/* Makes a text of a string of the answer where it lies: one byte towards its length, which has
 * been read, so that there is room for the NUL. */
static char *
make_text(struct buffer *answer, const struct wire_span *string)
{
	size_t length = string->length < COMMENT_LIMIT ? string->length : COMMENT_LIMIT;
	char *text = (char *)answer->data + (string->bytes - answer->data) - 1;

	memmove(text, text + 1, length);
	text[length] = '\0';
	for (size_t i = 0; i < length; i++)
		text[i] = text[i] == '\0' ? '.' : text[i];
	return text_escape(text, length + 1, text);
}

static bool
read_identity(struct buffer *answer, struct wire_span *content, struct agent_identity *ret)
{
	struct wire_span blob;
	struct wire_span comment;
	struct wire_span algorithm;

	if (!wire_read_string(content, &blob) || !wire_read_string(content, &comment))
		return false;
	ret->blob = blob.bytes;
	ret->length = blob.length;
	ret->comment = make_text(answer, &comment);
	return wire_read_string(&blob, &algorithm) && algorithm.length > 0;
}

bool
agent_message_read_list(struct buffer *answer, struct agent_identities *ret, struct err *err)
{
	struct wire_span content;
	uint32_t count = 0;
	bool is_whole;

	if (!open_answer(answer, MESSAGE_IDENTITIES_ANSWER,
			 "refused to list its keys; is it locked (ssh-add -X)?", &content, err))
		return false;
	is_whole = wire_read_u32(&content, &count);
	if (count > AGENT_IDENTITY_LIMIT)
		count = AGENT_IDENTITY_LIMIT;
	for (size_t i = 0; is_whole && i < count; i++)
		is_whole = read_identity(answer, &content, &ret->items[i]);
	if (!is_whole)
		return err_set(err,
			       "sent a list of keys that does not add up; is it an SSH agent?");
	ret->count = count;
	ret->message = *answer;
	buffer_init(answer);
	return true;
}

/* Agents that do not know the flags sign RSA with SHA-1, which no current server takes. */
static bool
check_algorithm(const struct wire_span *algorithm, unsigned flags, struct err *err)
{
	const char *wanted = NULL;

	if (flags & AGENT_SIGN_RSA_SHA2_256)
		wanted = "rsa-sha2-256";
	else if (flags & AGENT_SIGN_RSA_SHA2_512)
		wanted = "rsa-sha2-512";
	if (wanted == NULL || wire_span_is(algorithm, wanted) ||
	    (!wire_span_is(algorithm, "ssh-rsa") && !wire_span_is(algorithm, "rsa-sha2-256") &&
	     !wire_span_is(algorithm, "rsa-sha2-512")))
		return true;
	return err_set(err,
		       "signed with '%.*s' where '%s' was asked for; it may be too old for RSA "
		       "with SHA-2: use another agent, or an ed25519 key",
		       (int)algorithm->length, (const char *)algorithm->bytes, wanted);
}

bool
agent_message_read_signature(const struct buffer *answer, unsigned flags, struct wire_span *ret,
			     struct err *err)
{
	struct wire_span content;
	struct wire_span inside;
	struct wire_span algorithm;
	struct wire_span bytes;

	if (!open_answer(answer, MESSAGE_SIGN_RESPONSE,
			 "refused to sign; was a confirmation or a touch denied, or the key "
			 "removed (ssh-add -l)?",
			 &content, err))
		return false;
	if (!wire_read_string(&content, ret))
		return err_set(err, "sent a signature that is cut; is it an SSH agent?");
	inside = *ret;
	if (!wire_read_string(&inside, &algorithm) || algorithm.length == 0 ||
	    !wire_read_string(&inside, &bytes) || bytes.length == 0)
		return err_set(err, "sent a signature that is none; is it an SSH agent?");
	return check_algorithm(&algorithm, flags, err);
}
