"""Models in other formats to GGUF: llama2.c checkpoints, Hugging Face folders of safetensors."""
