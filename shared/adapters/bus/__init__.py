"""The bus port and its backends: `sqlite` (embedded queue) and `servicebus` (Azure Service Bus)."""
