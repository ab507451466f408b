"""One node that answers the whole conversation: what general clients want."""
