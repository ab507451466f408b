"""Python workflows as streaming model endpoints."""
