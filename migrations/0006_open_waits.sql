-- Version 6: where and why a thread has been waiting, while it does.
ALTER TABLE thread_sum ADD COLUMN open_callsite INTEGER;
ALTER TABLE thread_sum ADD COLUMN open_reason_from TEXT;
ALTER TABLE thread_sum ADD COLUMN open_stack_from TEXT;
PRAGMA user_version = 6;
