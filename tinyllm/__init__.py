"""TinyLLM: distil the rationales of several large language models into one small student (arXiv 2402.04616)."""
