"""The Gradio demo: a map one can touch. Installed as ``latent_vizae.demos``; ``latent-vizae demo`` runs it."""
