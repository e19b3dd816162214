"""From a model's frames to speaker turns: pure, shared by the services, training and evaluation."""
