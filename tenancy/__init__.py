"""The ground floor: which clinic a request belongs to, and the database that keeps clinics apart."""
