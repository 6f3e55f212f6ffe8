"""The models and their training, in torch alone; read from `training` downwards."""
