"""amuro: what did pre-training teach a language model, and what does fine-tuning reveal, add and destroy?"""

__version__ = "0.1.0"
