"""One small interface to language and vision-language models, and its back ends."""
