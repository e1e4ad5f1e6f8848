"""Commands beside a running engine: status, halt, resume, flatten, doctor."""
